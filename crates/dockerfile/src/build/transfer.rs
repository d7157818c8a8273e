//! `COPY` and `ADD`.

use super::flags::Takes;
use super::hints;
use super::instruction::{fill, hint_at_list, list};
use super::reading::{Failure, Fallible, Part, Reading};
use crate::ast::{Add, Copy, Heredoc, InstructionKind, Source};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::expand::Expander;
use crate::keyword::Keyword;
use crate::list::List;
use crate::parse::logical::Fragment;
use crate::parse::words::separated;
use crate::span::Word;

/// A `COPY` whose `--from` has a variable is kept: it is the conversion that refuses it, after everything was read.
pub(super) fn copy<'a>(
    reading: &mut Reading<'_, 'a>,
    part: &mut Part<'_, 'a>,
    slot: &mut InstructionKind<'a>,
) -> Result<(), Failure> {
    let arguments = Arguments::read(reading, part, Keyword::Copy)?;
    part.check_flags(&[
        ("chmod", Takes::Text),
        ("chown", Takes::Text),
        ("exclude", Takes::Texts),
        ("from", Takes::Text),
        ("link", Takes::Bool),
        ("parents", Takes::Bool),
    ])?;
    let flags = part.take_flags();
    if part.depth < 2
        && let Some(from) = flags.text("from")
    {
        reading.diagnostics.extend(variable_in_from(&from));
    }
    match arguments {
        Arguments::Plain { sources, dest } => {
            let dest = dest.spanned();
            fill(slot, InstructionKind::Copy(Copy { sources, dest, json: false, flags }));
        }
        Arguments::Words { words, json, heredocs } => {
            let (sources, dest) = split_markers(words, heredocs, Keyword::Copy)?;
            fill(slot, InstructionKind::Copy(Copy { sources, dest, json, flags }));
        }
    }
    Ok(())
}

pub(super) fn add<'a>(
    reading: &mut Reading<'_, 'a>,
    part: &mut Part<'_, 'a>,
    slot: &mut InstructionKind<'a>,
) -> Result<(), Failure> {
    let arguments = Arguments::read(reading, part, Keyword::Add)?;
    part.check_flags(&[
        ("checksum", Takes::Text),
        ("chmod", Takes::Text),
        ("chown", Takes::Text),
        ("exclude", Takes::Texts),
        ("keep-git-dir", Takes::Bool),
        ("link", Takes::Bool),
        ("unpack", Takes::Bool),
    ])?;
    let flags = part.take_flags();
    match arguments {
        Arguments::Plain { sources, dest } => {
            let dest = dest.spanned();
            fill(slot, InstructionKind::Add(Add { sources, dest, json: false, flags }));
        }
        Arguments::Words { words, json, heredocs } => {
            let (sources, dest) = split_markers(words, heredocs, Keyword::Add)?;
            fill(slot, InstructionKind::Add(Add { sources, dest, json, flags }));
        }
    }
    Ok(())
}

/// The arguments before they are told apart.
enum Arguments<'l, 'a> {
    /// Paths.
    Plain { sources: List<Source<'a>>, dest: Fragment<'l, 'a> },
    /// At least two words, among which there may be heredoc markers.
    Words { words: Vec<Word<'a>>, json: bool, heredocs: Vec<Heredoc<'a>> },
}

#[expect(clippy::inline_always, reason = "as with fragments")]
impl<'l, 'a> Arguments<'l, 'a> {
    #[inline(always)]
    fn read(
        reading: &mut Reading<'_, 'a>,
        part: &Part<'l, 'a>,
        keyword: Keyword,
    ) -> Result<Self, Failure> {
        if part.args.bytes().first() == Some(&b'[') {
            return Self::read_words(reading, part, keyword);
        }
        let heredocs = reading.heredocs(part)?;
        if !heredocs.is_empty() {
            let words = list(part);
            return Self::of_words(reading, part, keyword, words, false, heredocs);
        }
        let mut words = separated(part.args);
        let (Some(first), Some(mut dest)) = (words.next(), words.next()) else {
            return Err(too_few(part, keyword).into());
        };
        let mut looks_odd = dest.bytes().first() == Some(&b'[');
        let mut sources = List::one(Source::Path(first.spanned()));
        for word in words {
            sources.push(Source::Path(dest.spanned()));
            dest = word;
            looks_odd = true;
        }
        if looks_odd && reading.hints_for(part) {
            hint(reading, part, &list(part), false);
        }
        Ok(Self::Plain { sources, dest })
    }

    /// What may be JSON.
    fn read_words(
        reading: &mut Reading<'_, 'a>,
        part: &Part<'l, 'a>,
        keyword: Keyword,
    ) -> Result<Self, Failure> {
        let found = reading.json(part.args);
        let mut heredocs = Vec::new();
        if !matches!(found, Ok(Some(_))) {
            heredocs = reading.heredocs(part)?;
        }
        let (words, json) = match found? {
            Some(words) => (words, true),
            None => (list(part), false),
        };
        Self::of_words(reading, part, keyword, words, json, heredocs)
    }

    fn of_words(
        reading: &mut Reading<'_, 'a>,
        part: &Part<'l, 'a>,
        keyword: Keyword,
        words: Vec<Word<'a>>,
        json: bool,
        heredocs: Vec<Heredoc<'a>>,
    ) -> Result<Self, Failure> {
        if reading.hints_for(part) {
            hint(reading, part, &words, json);
        }
        if words.len() < 2 {
            return Err(too_few(part, keyword).into());
        }
        Ok(Self::Words { words, json, heredocs })
    }
}

fn hint(reading: &mut Reading, part: &Part, words: &[Word], json: bool) {
    reading.diagnostics.extend(hints::no_directory(words, json));
    if !json {
        hint_at_list(reading, part, words);
    }
}

#[cold]
fn too_few(part: &Part, keyword: Keyword) -> Box<Diagnostic> {
    let keyword = keyword.name();
    let message = format!(
        "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
    );
    Diagnostic::error(DiagnosticKind::ArgumentCount, message, part.keyword.span()).into()
}

/// Tells heredoc markers from paths. Paths come first, as they are copied first.
fn split_markers<'a>(
    mut words: Vec<Word<'a>>,
    heredocs: Vec<Heredoc<'a>>,
    keyword: Keyword,
) -> Fallible<(List<Source<'a>>, Word<'a>)> {
    let dest = words.pop().unwrap_or_default();
    let in_marker = |heredoc: &Heredoc, word: &Word| {
        heredoc.marker.start <= word.span.start && word.span.start < heredoc.marker.end
    };
    if let Some(heredoc) = heredocs.last().filter(|it| in_marker(it, &dest)) {
        let message = format!("{} cannot accept a heredoc as a destination", keyword.name());
        return Err(Diagnostic::error(DiagnosticKind::Heredoc, message, heredoc.marker)
            .with_help(format!("write the destination behind `<<{}`", heredoc.name))
            .into());
    }
    // Words and markers are both in the order of the file, and `<< NAME` is two words in one marker.
    let mut markers = heredocs.iter().peekable();
    let mut sources = List::new();
    for word in words {
        while markers.next_if(|it| it.marker.end <= word.span.start).is_some() {}
        if !markers.peek().is_some_and(|it| in_marker(it, &word)) {
            sources.push(Source::Path(word));
        }
    }
    sources.extend(heredocs.into_iter().map(|it| Source::Heredoc(Box::new(it))));
    Ok((sources, dest))
}

/// What is said about a variable where none is expanded.
const NO_VARIABLES: &str = "variable expansion is not supported for --from, define a new stage with FROM using \
                                       ARG from global scope as a workaround";

/// The error for a variable in `--from`.
pub(crate) fn variable_in_from(from: &Word) -> Option<Diagnostic> {
    if !from.value.contains('$') {
        return None;
    }
    // A `$` that no name follows is text.
    let expanded = Expander::new('\\').expand(&from.value, &|_| None);
    if expanded.is_ok_and(|it| it.unmatched.is_empty()) {
        return None;
    }
    let diagnostic = Diagnostic::error(DiagnosticKind::NoExpansion, NO_VARIABLES, from.span);
    let help = format!("add `FROM {} AS name` above and copy with `--from=name`", from.value);
    Some(diagnostic.with_help(help))
}
