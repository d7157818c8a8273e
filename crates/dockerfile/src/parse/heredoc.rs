//! Finding heredocs: the markers in a line, and the bodies below it.

use std::borrow::Cow;
use std::ops::Range;

use nom::Parser;

use super::lines::FileLines;
use super::logical::Fragment;
use crate::ast::Heredoc;
use crate::expand::{Expander, heredoc_word};
use crate::span::Span;

/// A `<<NAME` in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) name: String,
    pub(crate) fd: u64,
    pub(crate) expand: bool,
    pub(crate) chomp: bool,
    /// Where it stands in the line.
    pub(crate) at: Range<usize>,
    /// Whether blanks separate it from its name.
    pub(crate) spaced: bool,
}

/// The markers of a line. Whatever the file says, the escape character here is `\`.
///
/// A line that is no good shell text, because of an odd quote or a substitution that the expander does not know, has no
/// markers at all: the reference implementation drops the error there, and files depend on it.
pub(crate) fn markers(line: &str) -> Result<Vec<Marker>, String> {
    let Some(words) = words(line) else { return Ok(Vec::new()) };
    let mut markers = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some((word, at)) = words.next() {
        if is_bare(&word) && words.peek().is_some() {
            // `<< NAME` is two words, but one marker.
            let joined = words.peek().and_then(|(next, end)| {
                let text = format!("{word} {next}");
                read(&text, at.start..end.end).transpose()
            });
            if let Some(marker) = joined {
                words.next();
                markers.push(Marker { spaced: true, ..marker? });
            }
            continue;
        }
        markers.extend(read(&word, at)?);
    }
    Ok(markers)
}

/// The words of a line and where they stand; none if it cannot be lexed.
fn words(line: &str) -> Option<Vec<(Cow<'_, str>, Range<usize>)>> {
    if is_plain(line) {
        return Some(plain_words(line).collect());
    }
    let mut expander = Expander::new('\\');
    (expander.raw_quotes, expander.raw_escapes, expander.skip_unset) = (true, true, true);
    let words = expander.words_with_places(line, &|_| None).ok()?;
    Some(words.into_iter().map(|(word, at)| (Cow::Owned(word), at)).collect())
}

/// Words between blanks and where they stand.
fn plain_words(line: &str) -> impl Iterator<Item = (Cow<'_, str>, Range<usize>)> {
    let mut end = 0;
    line.split_whitespace().filter_map(move |word| {
        let start = end + line[end..].find(word)?;
        end = start + word.len();
        Some((Cow::Borrowed(word), start..end))
    })
}

/// Whether a text has nothing that the expander treats otherwise than the text itself.
fn is_plain(text: &str) -> bool {
    !text.contains(['\'', '"', '\\', '$', '\u{feff}'])
}

/// Whether a word is `<<` or `<<-`, with or without a number, and nothing else.
fn is_bare(word: &str) -> bool {
    matches!(heredoc_word(word), Ok(("", (_, _, ""))))
}

/// Reads one word.
fn read(word: &str, at: Range<usize>) -> Result<Option<Marker>, String> {
    let Ok(("", (fd, chomp, rest))) = heredoc_word.parse(word) else { return Ok(None) };
    if rest.is_empty() {
        return Ok(None);
    }
    // Numbers that are too large become the largest one.
    let fd = if fd.is_empty() { 0 } else { fd.parse().unwrap_or(u64::MAX) };
    if is_plain(rest) && !rest.contains(char::is_whitespace) {
        return Ok(Some(Marker {
            name: rest.to_owned(),
            fd,
            expand: true,
            chomp,
            at,
            spaced: false,
        }));
    }
    let mut expander = Expander::new('\\');
    expander.skip_unset = true;
    let names = expander.expand_words(rest, &|_| None).map_err(|it| it.to_string())?;
    let [name] = names.as_slice() else { return Ok(None) };
    expander.raw_quotes = true;
    let raw = expander.expand_words(rest, &|_| None).map_err(|it| it.to_string())?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    // A quote that is there with quotes kept, but not without, quotes a part of the name.
    let expand = raw.first().is_some_and(|raw| quotes(raw) == quotes(name));
    Ok(Some(Marker { name: name.clone(), fd, expand, chomp, at, spaced: false }))
}

/// Reads the body of a heredoc from the lines below. The error is the heredoc with everything up to the end of the file.
pub(crate) fn body<'a>(
    marker: Marker,
    line: Fragment,
    lines: &mut FileLines<'a>,
) -> Result<Heredoc<'a>, Heredoc<'a>> {
    let source = lines.source();
    let mut heredoc = Heredoc {
        name: Cow::Owned(marker.name),
        fd: marker.fd,
        expand: marker.expand,
        chomp: marker.chomp,
        content: Cow::Borrowed(""),
        marker: line.slice(marker.at).span(),
        span: Span::default(),
        terminator: Span::default(),
    };
    let mut first = true;
    for found in lines.by_ref() {
        if first {
            heredoc.span = Span::at(found.start);
            first = false;
        }
        let text = found.text(source);
        let candidate = if marker.chomp { text.trim_start_matches('\t') } else { text };
        if candidate == heredoc.name {
            heredoc.terminator = Span::new(found.start, found.end);
            heredoc.content = Cow::Borrowed(&source[heredoc.span.start..heredoc.span.end]);
            return Ok(heredoc);
        }
        heredoc.span.end = found.next;
    }
    heredoc.content = Cow::Borrowed(&source[heredoc.span.start..heredoc.span.end]);
    Err(heredoc)
}

/// The first line of a body that would end it if it were not indented or had no blanks behind.
pub(crate) fn almost_terminator(heredoc: &Heredoc) -> Option<Span> {
    let mut at = heredoc.span.start;
    for line in heredoc.content.split_inclusive('\n') {
        let text = line.trim_end_matches(['\r', '\n']);
        if text.trim() == heredoc.name {
            return Some(Span::new(at, at + text.len()));
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::markers;

    fn check(line: &str, expect: &[(&str, u64, bool, bool)]) {
        let found = markers(line).unwrap();
        let found: Vec<_> =
            found.iter().map(|it| (it.name.as_str(), it.fd, it.expand, it.chomp)).collect();
        assert_eq!(found, expect, "{line}");
    }

    #[test]
    fn names_may_be_quoted_in_part() {
        check(
            "RUN <<A cat <<-'B' 3<<\"C D\" <<E'F'",
            &[
                ("A", 0, true, false),
                ("B", 0, false, true),
                ("C D", 3, false, false),
                ("EF", 0, false, false),
            ],
        );
        check("RUN <<a\\'b", &[("a'b", 0, true, false)]);
        check("RUN 99999999999999999999<<A", &[("A", u64::MAX, true, false)]);
    }

    #[test]
    fn blanks_may_stand_before_the_name() {
        check("RUN cat << A > f", &[("A", 0, true, false)]);
        check("RUN cat <<- 'A'", &[("A", 0, false, true)]);
        check("RUN cat << -A", &[("-A", 0, true, false)]);
        check("RUN cat << <<A", &[("A", 0, true, false)]);
        assert_eq!(markers("RUN << A x").unwrap()[0].at, 4..8);
    }

    #[test]
    fn other_text_is_no_marker() {
        for line in [
            "RUN a<<B",
            "RUN <<<B",
            "RUN \"<<B\"",
            "RUN <<",
            "RUN <<-",
            "RUN <<\"\"",
            "RUN $((1<<2))",
            "RUN ${x:-<<B}",
        ] {
            check(line, &[]);
        }
    }

    #[test]
    fn text_that_cannot_be_lexed_has_no_markers() {
        check("RUN echo it's <<A", &[]);
        check("RUN echo ${x^^} <<A", &[]);
        check("RUN echo ${x:0:3} <<A", &[("A", 0, true, false)]);
    }
}
