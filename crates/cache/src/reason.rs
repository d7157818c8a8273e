use dfbuild_image::Digest;
use serde::{Deserialize, Serialize};

use crate::change::FilesChange;
use crate::key::Label;

/// One reason why a step does not come from the cache. `old` is of the nearest earlier run of the
/// step, `new` of now. The names are part of what `explain --format json` promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Nothing is taken from the cache in this build.
    NoCache,
    /// Nothing of its stage is.
    NoCacheFilter,
    /// It is not: its line was named.
    NoCacheStep,
    /// Its result is older than results may be.
    TooOld {
        /// Its age.
        seconds: u64,
    },
    /// The layer that it made cannot be had any more.
    LayerLost,
    /// Nothing differs, but the record of its result is not there any more.
    RecordLost,
    /// No earlier run of it is known.
    New,
    /// A step that it is built upon runs, and may make other files.
    Below {
        /// The line of that step.
        line: usize,
    },
    /// A stage that it reads from runs, and may make other files.
    Stage {
        /// What people call the stage.
        name: String,
    },
    /// It is built upon other files, for none of the other reasons.
    OtherBelow,
    /// Another step comes before it.
    After {
        /// The step before it then; empty for none.
        old: String,
        /// The step before it now.
        new: String,
    },
    /// The base image.
    Base {
        /// The name of the image then.
        old_name: String,
        /// The digest of its manifest.
        old: Digest,
        /// The name now.
        new_name: String,
        /// The digest now.
        new: Digest,
    },
    /// Files that it reads.
    Files {
        /// Where they are mounted; `None` for those of a copy.
        mount: Option<String>,
        /// Which of them, and how.
        #[serde(flatten)]
        change: FilesChange,
    },
    /// A variable. The value of one whose name means a secret is `***`, as is the old one of a run that a
    /// shared cache tells of.
    Variable {
        /// Its name.
        name: String,
        /// Its value then, if it had one.
        old: Option<String>,
        /// Its value now.
        new: Option<String>,
        /// Where it is set.
        declared: Option<Declared>,
    },
    /// The command.
    Command {
        /// Then.
        old: String,
        /// Now.
        new: String,
    },
    /// What runs the command: `SHELL`.
    Shell {
        /// Then.
        old: String,
        /// Now.
        new: String,
    },
    /// The same parts in another order.
    Order {
        /// Which.
        label: Label,
    },
    /// Another part of its key.
    Part {
        /// What it is about.
        label: Label,
        /// Which one: the flag, the mount target.
        name: String,
        /// Its value then, if it was there.
        old: Option<String>,
        /// Its value now.
        new: Option<String>,
    },
}

/// Where a variable gets its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// `ARG` or `ENV`.
    pub keyword: String,
    /// The line of the instruction, from 1.
    pub line: usize,
}

impl Reason {
    /// Whether the step is only dragged along by another one.
    pub fn is_dragged(&self) -> bool {
        matches!(self, Self::Below { .. } | Self::Stage { .. })
    }

    /// Changes every text of it that a user may have written a secret into.
    pub fn change_texts(&mut self, change: &dyn Fn(&str) -> String) {
        match self {
            Self::Variable { old, new, .. } | Self::Part { old, new, .. } => {
                for text in [old, new].into_iter().flatten() {
                    *text = change(text);
                }
            }
            Self::Command { old, new } | Self::Shell { old, new } | Self::After { old, new } => {
                for text in [old, new] {
                    *text = change(text);
                }
            }
            _ => {}
        }
    }

    /// How far the number of files that differ takes two runs of a step apart, beside
    /// [`Reason::distance`].
    pub(crate) fn files_apart(&self) -> u64 {
        match self {
            Self::Files { change, .. } => change.differ.min(50),
            _ => 0,
        }
    }

    /// How far it takes two runs of a step apart, for finding the nearest.
    pub(crate) fn distance(&self) -> u64 {
        match self {
            // They follow from what other steps did.
            Self::OtherBelow | Self::After { .. } | Self::Below { .. } | Self::Stage { .. } => 5,
            _ => 10,
        }
    }
}
