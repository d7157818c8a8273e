//! `COPY` and `ADD`.

use crate::ast::Heredoc;
use crate::span::Word;

/// One thing to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// A path, pattern, URL or git reference. Not expanded.
    Path(Word<'a>),
    /// An inline file, named by its delimiter.
    Heredoc(Box<Heredoc<'a>>),
}

/// `COPY [flags] source... dest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy<'a> {
    /// The sources in the order in which they are copied: the paths first, then the inline files.
    pub sources: Vec<Source<'a>>,
    /// The destination. Not expanded.
    pub dest: Word<'a>,
    /// Whether the arguments were a JSON array.
    pub json: bool,
    /// `--from`: a stage, a named context or an image. Never expanded.
    pub from: Option<Box<Word<'a>>>,
    /// `--chown`. Not expanded.
    pub chown: Option<Box<Word<'a>>>,
    /// `--chmod`. Not expanded.
    pub chmod: Option<Box<Word<'a>>>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, repeated. Never expanded.
    pub excludes: Vec<Word<'a>>,
}

/// `ADD [flags] source... dest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add<'a> {
    /// The sources in the order in which they are added: the paths first, then the inline files.
    pub sources: Vec<Source<'a>>,
    /// The destination. Not expanded.
    pub dest: Word<'a>,
    /// Whether the arguments were a JSON array.
    pub json: bool,
    /// `--chown`. Not expanded.
    pub chown: Option<Box<Word<'a>>>,
    /// `--chmod`. Not expanded.
    pub chmod: Option<Box<Word<'a>>>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`, repeated. Never expanded.
    pub excludes: Vec<Word<'a>>,
    /// `--checksum`. Not expanded.
    pub checksum: Option<Box<Word<'a>>>,
    /// `--keep-git-dir`, if given.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`, if given.
    pub unpack: Option<bool>,
}
