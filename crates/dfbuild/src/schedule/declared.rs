use dfbuild_cache::Declared;
use dfbuild_dockerfile::{InstructionKind, parse};
use dfbuild_plan::Stage;

/// Where in a Dockerfile a variable gets the value that a step at `line` sees. `lineage` are the
/// stages from the first to the step's own. `None` if it is a base image's.
pub(crate) fn declared(
    text: &str,
    lineage: &[&Stage],
    line: usize,
    name: &str,
) -> Option<Declared> {
    let parsed = parse(text);
    let (own, below) = lineage.split_last()?;
    let stages = below.iter().map(|stage| (stage.index, usize::MAX)).chain([(own.index, line)]);
    let mut found = None;
    for (index, end) in stages {
        let Some(stage) = parsed.dockerfile.stage(index) else { continue };
        for instruction in stage.instructions {
            let start = instruction.lines.start;
            let keyword = match &instruction.kind {
                InstructionKind::Arg(arg) => {
                    arg.declarations.iter().any(|it| it.name.value == name).then_some("ARG")
                }
                InstructionKind::Env(env) => {
                    env.pairs.iter().any(|pair| pair.key.value == name).then_some("ENV")
                }
                _ => None,
            };
            if let Some(keyword) = keyword.filter(|_| start < end) {
                found = Some(Declared { keyword: keyword.to_owned(), line: start });
            }
        }
    }
    found
}

/// The first line below `declared` whose instruction names the variable.
pub(crate) fn first_use(text: &str, name: &str, declared: usize) -> Option<usize> {
    let parsed = parse(text);
    let uses = |instruction: &&dfbuild_dockerfile::Instruction<'_>| {
        instruction.lines.start > declared && {
            let span = instruction.span;
            names(&text[span.start..span.end], name)
        }
    };
    parsed.dockerfile.instructions().find(uses).map(|instruction| instruction.lines.start)
}

/// Whether a text has `$NAME` or `${NAME`.
fn names(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].strip_suffix('{').unwrap_or(&text[..at]);
        let after = text[at + name.len()..].chars().next();
        let goes_on = after.is_some_and(|it| it.is_alphanumeric() || it == '_');
        before.ends_with('$') && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_found() {
        for (text, expect) in [
            ("$A", true),
            ("x${A:-b}", true),
            ("$AB", false),
            ("A", false),
            ("$B A", false),
            ("{A}", false),
            ("${A}", true),
        ] {
            assert_eq!(names(text, "A"), expect, "{text}");
        }
        let text = "FROM a\nARG A\nRUN make\nRUN echo $A\n";
        assert_eq!(first_use(text, "A", 2), Some(4));
        assert_eq!(first_use(text, "B", 2), None);
    }
}
