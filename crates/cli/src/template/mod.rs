//! Docker's `--format '{{.Id}}'`: as much of Go's templates as scripts use to pick something out of
//! an image. Fields (`.Config.Env`), `json`, `index`, `len`, `join`, `lower`, `upper`, pipes, `if`
//! and `range`.

mod eval;
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
    Print(Pipeline),
    If { condition: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    Range { over: Pipeline, each: Vec<Node>, otherwise: Vec<Node> },
}

/// Calls, each of which gets the result of the one before as its last argument.
type Pipeline = Vec<Call>;

/// A function with its arguments; one argument alone has no function.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    function: Option<Function>,
    arguments: Vec<Argument>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Index,
    Join,
    Json,
    Len,
    Lower,
    Upper,
}

#[derive(Debug, Clone, PartialEq)]
enum Argument {
    /// `.A.B`; of no names, the value itself.
    Field(Vec<String>),
    Literal(Value),
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
            Node::Print(calls) => {
                let arguments = calls.iter().flat_map(|call| &call.arguments);
                let mut fields = arguments.filter_map(|argument| match argument {
                    Argument::Field(names) => names.last(),
                    _ => None,
                });
                fields.next().map(|name| heading(name)).unwrap_or_default()
            }
            Node::If { .. } | Node::Range { .. } => String::new(),
        });
        heads.collect()
    }

    /// The text for one value.
    pub(crate) fn render(&self, value: &Value) -> Result<String, String> {
        let mut out = String::new();
        Scope { root: value, here: value }.render(&self.nodes, &mut out)?;
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
            "Config": { "Env": ["A=1"], "Labels": { "x.y": "z" }, "Cmd": null },
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
            ("{{.Config.Labels}}", "map[x.y:z]"),
            ("{{len .RepoTags}}", "2"),
            ("{{join .RepoTags \", \"}}", "a:1, b:2"),
            ("{{range .RepoTags}}{{.}};{{$.Size}} {{end}}", "a:1;12 b:2;12 "),
            ("{{if .Config.Cmd}}yes{{else}}no{{end}}", "no"),
            ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
            ("{{.Config.User}}|{{.Config.Cmd}}", "|"),
            (r"{{.Id}}\t{{.Size}}", "sha256:ab\t12"),
            ("plain", "plain"),
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
        ] {
            let error = render(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
