//! The typed syntax tree.
//!
//! Words stand here as they were written: quotes, escapes and `$` are kept, and [`crate::expand`] resolves them. Only
//! flags have lost their quotes, because the grammar of flags takes them away before anything else looks.

mod comments;
mod copy;
mod dockerfile;
pub(crate) mod flags;
mod healthcheck;
mod heredoc;
mod instruction;
mod run;

pub use comments::Comments;
pub use copy::{Add, Copy, Source};
pub use dockerfile::{Directives, Dockerfile, From, Stage, Syntax};
pub use flags::Flags;
pub use healthcheck::{Healthcheck, HealthcheckCommand};
pub use heredoc::Heredoc;
pub use instruction::{
    Arg, ArgDeclaration, Command, Expose, Instruction, InstructionKind, KeyValue, KeyValues,
    Maintainer, Onbuild, Shell, Stopsignal, User, Volume, Workdir,
};
pub use run::{Device, Mount, MountError, MountFlag, MountKind, Network, Run, Security, Sharing};
