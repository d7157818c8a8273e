//! `COPY` and `ADD`.

use crate::ast::{Flags, Heredoc};
use crate::list::List;
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
    pub sources: List<Source<'a>>,
    /// The destination. Not expanded.
    pub dest: Word<'a>,
    /// Whether the arguments were a JSON array.
    pub json: bool,
    /// All flags.
    pub flags: Flags<'a>,
}

impl<'a> Copy<'a> {
    /// `--from`: a stage, a named context or an image. Never expanded.
    pub fn from(&self) -> Option<Word<'a>> {
        self.flags.text("from").filter(|it| !it.value.is_empty())
    }

    /// `--chown`. Not expanded.
    pub fn chown(&self) -> Option<Word<'a>> {
        self.flags.text("chown")
    }

    /// `--chmod`. Not expanded.
    pub fn chmod(&self) -> Option<Word<'a>> {
        self.flags.text("chmod")
    }

    /// `--link`.
    pub fn link(&self) -> bool {
        self.flags.switch("link") == Some(true)
    }

    /// `--parents`.
    pub fn parents(&self) -> bool {
        self.flags.switch("parents") == Some(true)
    }

    /// `--exclude`, repeated. Never expanded.
    pub fn excludes(&self) -> impl Iterator<Item = Word<'a>> {
        self.flags.texts("exclude")
    }
}

/// `ADD [flags] source... dest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add<'a> {
    /// The sources in the order in which they are added: the paths first, then the inline files.
    pub sources: List<Source<'a>>,
    /// The destination. Not expanded.
    pub dest: Word<'a>,
    /// Whether the arguments were a JSON array.
    pub json: bool,
    /// All flags.
    pub flags: Flags<'a>,
}

impl<'a> Add<'a> {
    /// `--chown`. Not expanded.
    pub fn chown(&self) -> Option<Word<'a>> {
        self.flags.text("chown")
    }

    /// `--chmod`. Not expanded.
    pub fn chmod(&self) -> Option<Word<'a>> {
        self.flags.text("chmod")
    }

    /// `--link`.
    pub fn link(&self) -> bool {
        self.flags.switch("link") == Some(true)
    }

    /// `--exclude`, repeated. Never expanded.
    pub fn excludes(&self) -> impl Iterator<Item = Word<'a>> {
        self.flags.texts("exclude")
    }

    /// `--checksum`. Not expanded.
    pub fn checksum(&self) -> Option<Word<'a>> {
        self.flags.text("checksum")
    }

    /// `--keep-git-dir`, if given.
    pub fn keep_git_dir(&self) -> Option<bool> {
        self.flags.switch("keep-git-dir")
    }

    /// `--unpack`, if given.
    pub fn unpack(&self) -> Option<bool> {
        self.flags.switch("unpack")
    }
}
