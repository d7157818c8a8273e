//! From a syntax tree, build arguments and base configurations to a graph of build steps. Pure.
//!
//! [`plan`] is a fixpoint: it returns a [`Graph`], or the base images whose configurations it has
//! to see first ([`Outcome::Need`]). Those bring environments, users and `ONBUILD` triggers, which
//! may name more images, so the caller resolves them and asks again.
//!
//! A [`Graph`] holds only the stages that the target needs. Everything that can be known without
//! running anything is known in it: the whole configuration of each stage, every history line, the
//! arguments and environment of each `RUN`, the expanded sources of each `COPY`.
//!
//! *Limitations*: users and groups stay names here; whom they mean is in the files of the image.
//!
//! ```
//! use dfbuild_plan::{Input, Outcome, plan};
//!
//! let parsed = dfbuild_dockerfile::parse("FROM scratch\nENV GREETING=hello\n");
//! let Ok(Outcome::Ready(graph)) = plan(&Input::new(&parsed.dockerfile)) else { panic!() };
//! assert_eq!(graph.target().config.config.env[1], "GREETING=hello");
//! ```
#![forbid(unsafe_code)]

mod builtin_args;
mod config_steps;
mod copy_steps;
mod environment;
mod error;
mod go_duration;
mod graph;
mod input;
mod join;
mod planner;
mod run_steps;
mod scope;
mod stage_refs;

pub use builtin_args::{is_predefined_arg, is_proxy_arg};
pub use environment::Environment;
pub use graph::{
    AddOptions, Base, CopySource, CopyStep, Graph, HistoryLine, RunMount, RunStep, Stage, StageId,
    Step, StepKind, TreeSource, WorkdirStep,
};
pub use input::{BaseImage, BaseRequest, Input, NamedContext};
pub use planner::{Need, Outcome, plan};
pub use run_steps::default_secret_target;
pub use stage_refs::context_key;
