//! The grammars of arguments that several instructions share.

use std::borrow::Cow;

use super::json::{self, Array};
use super::logical::Fragment;
use super::words::{QuotedWord, is_separator, quoted_words};
use crate::build::hints::{CURLY_HELP, has_curly_quotes};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::quote::quote;
use crate::span::{Spanned, Word};

/// The words of a JSON array of strings; none if the text, which has no blanks at its ends, is no array.
#[inline]
pub(crate) fn json_words<'a>(
    args: Fragment<'_, 'a>,
) -> Result<Option<Vec<Word<'a>>>, Box<Diagnostic>> {
    // Shell text and paths begin with something else, which is quickly told.
    if args.bytes().first() == Some(&b'[') { read_json_words(args) } else { Ok(None) }
}

fn read_json_words<'a>(args: Fragment<'_, 'a>) -> Result<Option<Vec<Word<'a>>>, Box<Diagnostic>> {
    let mut words = Vec::new();
    let found = json::array(args.text(), |text, at| {
        let span = args.slice(at.clone()).span();
        let value = match text {
            Cow::Owned(text) => Cow::Owned(text),
            Cow::Borrowed(_) => args.slice(at.start + 1..at.end - 1).spanned().value,
        };
        words.push(Spanned::new(value, span));
    });
    match found {
        Array::Strings => Ok(Some(words)),
        Array::Other(at) => Err(Diagnostic::error(
            DiagnosticKind::Json,
            "when using JSON array syntax, arrays must be comprised of strings only",
            args.slice(at).span(),
        )
        .into()),
        Array::None => Ok(None),
    }
}

/// A name and a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'l, 'a> {
    pub(crate) key: Fragment<'l, 'a>,
    pub(crate) value: Fragment<'l, 'a>,
    /// The `=`; none in the old form.
    pub(crate) equals: Option<Fragment<'l, 'a>>,
}

/// `name=value…`, or the old `name value`, which is meant if the first word has no `=`.
#[inline]
pub(crate) fn key_values<'l, 'a>(
    args: Fragment<'l, 'a>,
    escape: u8,
    keyword: Keyword,
    mut each: impl FnMut(Pair<'l, 'a>),
) -> Result<(), Box<Diagnostic>> {
    let mut is_first = true;
    for QuotedWord { text: word, equals, .. } in quoted_words(args, escape) {
        let Some(equals) = equals else {
            if is_first {
                each(legacy_pair(args, keyword)?);
                return Ok(());
            }
            return Err(no_equals(args, word));
        };
        is_first = false;
        each(Pair {
            key: word.slice(0..equals),
            value: word.from(equals + 1),
            equals: Some(word.slice(equals..equals + 1)),
        });
    }
    Ok(())
}

fn legacy_pair<'l, 'a>(
    args: Fragment<'l, 'a>,
    keyword: Keyword,
) -> Result<Pair<'l, 'a>, Box<Diagnostic>> {
    let Some(end) = args.text().find(is_separator) else {
        let keyword = keyword.name();
        let message = format!("{keyword} must have two arguments");
        return Err(Diagnostic::error(DiagnosticKind::ArgumentCount, message, args.span())
            .with_help(format!("write `{keyword} {}=value`", args.text()))
            .into());
    };
    let value = args.from(end);
    let blanks = value.text().len() - value.text().trim_start_matches(is_separator).len();
    Ok(Pair { key: args.slice(0..end), value: value.from(blanks), equals: None })
}

fn no_equals(args: Fragment, word: Fragment) -> Box<Diagnostic> {
    let message = format!(
        "Syntax error - can't find = in {}. Must be of the form: name=value",
        quote(word.text())
    );
    let diagnostic = Diagnostic::error(DiagnosticKind::KeyValue, message, word.span());
    let help = if has_curly_quotes(args.text()) {
        CURLY_HELP
    } else {
        "quote a value that has blanks in it"
    };
    diagnostic.with_help(help).into()
}

/// The first word of a `HEALTHCHECK` and what follows it.
pub(crate) fn split_check<'l, 'a>(args: Fragment<'l, 'a>) -> (Fragment<'l, 'a>, Fragment<'l, 'a>) {
    let end = args.text().find(char::is_whitespace).unwrap_or(args.text().len());
    (args.slice(0..end), args.from(end).trim())
}
