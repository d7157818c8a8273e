use serde::{Deserialize, Serialize};

/// How the files that a step reads differ from those of an earlier time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FilesChange {
    /// How many paths differ.
    pub differ: u64,
    /// How many files there are now, and those that were removed.
    pub total: u64,
    /// The first of those that differ, in their order.
    pub files: Vec<FileChange>,
    /// Whether they are files of a context, not those that a stage or an image has.
    #[serde(default)]
    pub in_context: bool,
}

/// How a file differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Where it is.
    pub path: String,
    /// All that differs.
    pub changes: Vec<Change>,
}

/// What of a file differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is there, but ignore rules hide it now.
    Ignored,
    /// It had another name.
    Renamed {
        /// Which one.
        old: String,
    },
    /// What is in it.
    Content,
    /// Its permissions, in octal.
    Mode {
        /// Before.
        old: String,
        /// Now.
        new: String,
    },
    /// Its owner and group.
    Owner {
        /// Before.
        old: String,
        /// Now.
        new: String,
    },
    /// Where the link leads.
    Target {
        /// Before.
        old: String,
        /// Now.
        new: String,
    },
    /// What it is: `file`, `folder`, `symlink`, `hard link`, `device`, `named pipe`.
    Type {
        /// Before.
        old: String,
        /// Now.
        new: String,
    },
    /// The commit of a git repository.
    Commit {
        /// Before.
        old: String,
        /// Now.
        new: String,
    },
    /// Its file capabilities.
    Capability,
    /// Something; what it was is not known any more.
    Unknown,
}
