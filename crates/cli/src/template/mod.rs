//! Docker's `--format '{{.Id}}'`: as much of Go's templates as scripts use to pick something out of
//! an image. Fields (`.Config.Env`), variables, the functions of `functions.rs`, pipes, `if`, `with`
//! and `range`; no named templates.

mod eval;
mod functions;
mod parse;

use serde_json::Value;

use eval::Scope;

/// A template that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    /// What is printed, or what a variable is set to.
    Print(Head),
    If {
        head: Head,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    With {
        head: Head,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        head: Head,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// A pipeline and the variables that it sets, as `$x := .Config.Env`.
#[derive(Debug, Clone, PartialEq)]
struct Head {
    names: Vec<String>,
    declares: bool,
    pipeline: Pipeline,
}

/// Calls, each of which gets the result of the one before as its last argument.
type Pipeline = Vec<Call>;

/// A function with its arguments; one argument alone has no function.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    function: Option<&'static str>,
    arguments: Vec<Argument>,
}

#[derive(Debug, Clone, PartialEq)]
enum Argument {
    /// `.A.B` of something; of no names, the value itself.
    Field(Base, Vec<String>),
    Literal(Value),
}

#[derive(Debug, Clone, PartialEq)]
enum Base {
    /// `.`
    Here,
    /// `$x`, and `$`
    Variable(String),
    /// What stands in parentheses.
    Nested(Pipeline),
}

impl Template {
    /// Reads a template. `\t` and `\n` stand for what they stand for in Go.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.replace(r"\t", "\t").replace(r"\n", "\n");
        Ok(Self { nodes: parse::nodes(&text)? })
    }

    /// The line above a table: the last names of the fields that it prints.
    pub(crate) fn header(&self) -> String {
        let heads = self.nodes.iter().map(|node| match node {
            Node::Text(text) => text.clone(),
            Node::Print(head) => {
                let arguments = head.pipeline.iter().flat_map(|call| &call.arguments);
                let mut fields = arguments.filter_map(|argument| match argument {
                    Argument::Field(_, names) => names.last(),
                    Argument::Literal(_) => None,
                });
                fields.next().map(|name| heading(name)).unwrap_or_default()
            }
            _ => String::new(),
        });
        heads.collect()
    }

    /// The text for one value.
    pub(crate) fn render(&self, value: &Value) -> Result<String, String> {
        let mut out = String::new();
        Scope::new(value).render(&self.nodes, &mut out)?;
        Ok(out)
    }
}

/// `CreatedSince` as docker heads its column, `CREATED`, and other fields as words.
fn heading(field: &str) -> String {
    match field {
        "CreatedSince" => return "CREATED".to_owned(),
        "ID" => return "IMAGE ID".to_owned(),
        _ => {}
    }
    let mut head = String::new();
    for letter in field.chars() {
        if letter.is_uppercase() && !head.is_empty() {
            head.push(' ');
        }
        head.extend(letter.to_uppercase());
    }
    head
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(text: &str) -> Result<String, String> {
        let value = json!({
            "Id": "sha256:ab",
            "RepoTags": ["a:1", "b:2"],
            "Size": 12,
            "Config": {
                "Env": ["A=1"],
                "Labels": { "x.y": "z", "b": "2" },
                "Cmd": null,
                "ExposedPorts": { "80/tcp": [{ "HostPort": "8080" }] },
            },
        });
        Template::parse(text)?.render(&value)
    }

    #[test]
    fn what_scripts_pick_out() {
        for (text, expect) in [
            ("{{.Id}}", "sha256:ab"),
            ("id={{ .Id }}, {{ .Size -}}\n", "id=sha256:ab, 12"),
            ("{{.RepoTags}}", "[a:1 b:2]"),
            ("{{index .RepoTags 1}}", "b:2"),
            ("{{json .Config.Env}}", r#"["A=1"]"#),
            ("{{.Config.Env | json}}", r#"["A=1"]"#),
            ("{{index .Config.Labels \"x.y\"}}", "z"),
            ("{{(index .Config.Env 0) | lower}}", "a=1"),
            ("{{.Config.Labels}}", "map[b:2 x.y:z]"),
            ("{{len .RepoTags}}", "2"),
            ("{{join .RepoTags \", \"}}", "a:1, b:2"),
            ("{{range .RepoTags}}{{.}};{{$.Size}} {{end}}", "a:1;12 b:2;12 "),
            ("{{if .Config.Cmd}}yes{{else}}no{{end}}", "no"),
            ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
            ("{{.Config.User}}|{{.Config.Cmd}}", "|"),
            (r"{{.Id}}\t{{.Size}}", "sha256:ab\t12"),
            ("plain", "plain"),
            ("{{range .RepoTags}}{{println .}}{{end}}", "a:1\nb:2\n"),
            ("{{println .Id .Size}}{{print 1 2 .Id}}", "sha256:ab 12\n1 2sha256:ab"),
            (
                "{{range $p, $conf := .Config.ExposedPorts}} {{$p}} -> {{(index $conf 0).HostPort}} {{end}}",
                " 80/tcp -> 8080 ",
            ),
            (r#"{{(index (index .Config.ExposedPorts "80/tcp") 0).HostPort}}"#, "8080"),
            ("{{range $i, $tag := .RepoTags}}{{if $i}}, {{end}}{{$tag}}{{end}}", "a:1, b:2"),
            ("{{range $tag := .RepoTags}}<{{$tag}}{{.}}>{{end}}", "<a:1a:1><b:2b:2>"),
            (
                "{{$id := .Id}}{{with .Config}}{{.Nope}}{{$id}} {{len .Labels}}{{end}}",
                "sha256:ab 2",
            ),
            ("{{with .Config.Cmd}}{{.}}{{else}}none{{end}}", "none"),
            ("{{with $x := .Size}}{{$x}}{{end}}", "12"),
            ("{{$n := 1}}{{if true}}{{$n = 2}}{{end}}{{$n}}", "2"),
            ("{{if eq .Size 1}}a{{else if gt .Size 10}}b{{else}}c{{end}}", "b"),
            (r#"{{if and (eq .Id "x" "sha256:ab") (not .Config.Cmd)}}yes{{end}}"#, "yes"),
            (
                r#"{{or .Config.Cmd "none"}} {{ne 1 2}} {{lt "a" "b"}} {{ge 1 2}}"#,
                "none true true false",
            ),
            (r#"{{index (split .Id ":") 1}} {{slice .Id 7}} {{slice .Id 0 6}}"#, "ab ab sha256"),
            (
                r#"{{printf "%-5s|%5d|%05d|%q|%.3s|%v%%" .Config.User .Size .Size .Id .Id true}}"#,
                "     |   12|00012|\"sha256:ab\"|sha|true%",
            ),
            (
                r#"{{.Size | printf "%s is %d" "it"}}; {{printf "%.2f %x" 1.5 255}}"#,
                "it is 12; 1.50 ff",
            ),
            (r#"{{title "ab cd"}} {{truncate .Id 3}}{{pad "x" 1 2}}."#, "Ab Cd sha x  ."),
            ("{{/* nothing */}}{{- /* here */ -}} x", "x"),
            ("{{range.RepoTags}}{{.}} {{end}}{{if(eq .Size 12)}}yes{{end}}", "a:1 b:2 yes"),
            (
                r#"{{if and .Config.Cmd (eq (index .Config.Cmd 0) "sh")}}sh{{else}}other{{end}}"#,
                "other",
            ),
            ("{{or .Size (index .Config.Cmd 0)}}{{.Config.Env | and .Size | len}}", "121"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(expect), "{text}");
        }
    }

    #[test]
    fn headers() {
        let template = Template::parse(r"{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}} {{json .Tag}}");
        assert_eq!(template.unwrap().header(), "IMAGE ID\tCREATED\tCREATED BY TAG");
    }

    #[test]
    fn mistakes() {
        for (text, part) in [
            ("{{.Nope}}", "there is no `.Nope`; there are Config, Id, RepoTags, Size"),
            ("{{.Id", "`{{` without `}}`"),
            ("{{frobnicate .Id}}", "there is no `frobnicate`"),
            ("{{if .Id}}x", "`{{end}}` is missing"),
            ("{{end}}", "`{{end}}` ends nothing"),
            ("{{index .RepoTags 7}}", "there is no item 7"),
            ("{{}}", "is empty"),
            ("{{\"a}}", "a quote is not closed"),
            ("{{(index .Id}}", "a parenthesis is not closed"),
            ("{{$x}}", "there is no variable `$x`"),
            ("{{template \"x\"}}", "there is no `template`"),
            ("{{printf \"%d\" .Id}}", "`%d` does not take `sha256:ab`"),
            ("{{printf \"%w\" .Id}}", "printf knows %v"),
            ("{{printf \"%s\"}}", "nothing for `%s`"),
            ("{{slice .Id 0 99}}", "no such slice"),
            ("{{pad .Id 70000 1}}", "`70000` is no width"),
            ("{{if .Id}}{{else while}}{{end}}", "`else while` is nothing"),
        ] {
            let error = render(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
