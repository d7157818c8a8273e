//! Stages that were meant by a name that is taken for an image.

use dfbuild_dockerfile::{Dockerfile, LineIndex, Span, Word, suggest};
use dfbuild_plan::BaseRequest;

use crate::error::Error;

/// Adds to an error of an image where the Dockerfile names it. A stage with nearly that name, or
/// one that comes too late, is what was very likely meant.
pub(super) fn placed(
    error: Error,
    file: &Dockerfile,
    text: &str,
    request: &BaseRequest,
    span: Span,
) -> Error {
    let Error::Image { name, reason, hint, source: cause, .. } = error else { return error };
    let lines = LineIndex::new(text);
    let mut names = stage_names(file);
    let meant = names
        .find(|stage| stage.value.eq_ignore_ascii_case(&request.name))
        .map(|stage| {
            let line = lines.lines(stage.span).start;
            if line == lines.lines(span).start {
                return format!("stage `{}` cannot be its own base", stage.value);
            }
            format!("stage `{}` is defined at line {line}, after its use here", stage.value)
        })
        .or_else(|| close_stage(file, &request.name, Span::at(text.len())));
    let reason = match meant {
        Some(_) => format!("no stage above has this name; {reason}"),
        None => reason,
    };
    let line = Some(lines.lines(span).start);
    Error::Image { name, reason, hint: meant.or(hint), line, source: cause }
}

pub(super) fn stage_names<'f>(file: &'f Dockerfile<'f>) -> impl Iterator<Item = &'f Word<'f>> {
    file.stages().filter_map(|stage| stage.from().name.as_ref())
}

/// The question whether a stage above a place was meant by the name of an image there.
pub(super) fn close_stage(file: &Dockerfile, name: &str, place: Span) -> Option<String> {
    let names = stage_names(file).filter(|stage| stage.span.start < place.start);
    let close = suggest::closest(name, names.map(|stage| &*stage.value));
    close.map(|close| format!("did you mean the stage `{close}`?"))
}
