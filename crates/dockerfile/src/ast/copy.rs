//! `COPY` and `ADD`.

use crate::ast::Heredoc;
use crate::span::Spanned;

/// One thing to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, pattern, URL or git reference. Not expanded.
    Path(Spanned<String>),
    /// An inline file, named by its delimiter.
    Heredoc(Heredoc),
}

/// `COPY [flags] source... dest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The sources in the order in which they are copied: the paths first, then the inline files.
    pub sources: Vec<Source>,
    /// The destination. Not expanded.
    pub dest: Spanned<String>,
    /// Whether the arguments were a JSON array.
    pub json: bool,
    /// `--from`: a stage, a named context or an image. Never expanded.
    pub from: Option<Spanned<String>>,
    /// `--chown`. Not expanded.
    pub chown: Option<Spanned<String>>,
    /// `--chmod`. Not expanded.
    pub chmod: Option<Spanned<String>>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, repeated. Never expanded.
    pub excludes: Vec<Spanned<String>>,
}

/// `ADD [flags] source... dest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// The sources in the order in which they are added: the paths first, then the inline files.
    pub sources: Vec<Source>,
    /// The destination. Not expanded.
    pub dest: Spanned<String>,
    /// Whether the arguments were a JSON array.
    pub json: bool,
    /// `--chown`. Not expanded.
    pub chown: Option<Spanned<String>>,
    /// `--chmod`. Not expanded.
    pub chmod: Option<Spanned<String>>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`, repeated. Never expanded.
    pub excludes: Vec<Spanned<String>>,
    /// `--checksum`. Not expanded.
    pub checksum: Option<Spanned<String>>,
    /// `--keep-git-dir`, if given.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`, if given.
    pub unpack: Option<bool>,
}
