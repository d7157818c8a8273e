//! Lint: what is legal in a Dockerfile, but had better be changed.
//!
//! The rules of BuildKit have its names, texts and lines, and come in its order of events: where the conversion of a file
//! stops at an error, the rules that look at what follows do not run. Rules of our own are called `DF001` and so on and are
//! advice: see [`Level`].

mod advice;
mod config;
mod convert;
mod copy;
mod dispatch;
mod env;
mod expanded;
mod expose;
mod from;
mod linter;
mod platform;
mod reference;
mod rule;
mod secrets;
mod shared_map;
mod stages;
mod syntax;

use std::collections::{BTreeMap, BTreeSet};

use dfbuild_pattern::PatternSet;

use crate::Parsed;
use crate::diagnostic::Fix;
use crate::span::{LineIndex, LineRange, Span};

pub use advice::{ADVICE, Advice};
pub use expanded::{ExpandedInstruction, expanded};
pub use rule::{RULES, Rule};
pub use secrets::is_secret;

/// Looks at a file.
///
/// `parsed` is what [`crate::parse`] made of `source`.
pub fn lint(source: &str, parsed: &Parsed, options: &LintOptions) -> Report {
    let index = LineIndex::new(source);
    let mut linter = match linter::Linter::new(source, &index, parsed, options) {
        Ok(linter) => linter,
        Err(message) => {
            let error = Problem { message, span: Span::at(0), lines: None };
            return Report { error: Some(error), ..Report::default() };
        }
    };
    let error = convert::run(&mut linter, parsed, options).err();
    let violation = if error.is_none() { linter.violation() } else { None };
    if !options.compat {
        advice::run(&mut linter, &parsed.dockerfile);
    }
    Report { findings: linter.finish(), error, violation }
}

/// What the linter is told of the build.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches")]
pub struct LintOptions {
    /// The build arguments. `BUILDKIT_DOCKERFILE_CHECK` among them takes the place of `# check=`.
    pub build_args: BTreeMap<String, String>,
    /// The stage to build; the last one if there is none.
    pub target: Option<String>,
    /// Look at all stages, not only at those that the target needs.
    pub all_stages: bool,
    /// The platform to build for, as `os/architecture`.
    pub platform: String,
    /// The platform that builds.
    pub build_platform: String,
    /// The patterns of the ignore file, if there is one.
    pub ignore: Option<PatternSet>,
    /// What is known of base images, by the name in `FROM` after expansion. One that is absent has an empty config.
    pub bases: BTreeMap<String, BaseImage>,
    /// A base image that is not among `bases` may set any variable, so nothing is said about variables above it.
    pub unknown_bases_set_variables: bool,
    /// Names of contexts that take the place of stages and images.
    pub named_contexts: BTreeSet<String>,
    /// Run the experimental rules, whatever the file says.
    pub experimental: bool,
    /// Do exactly what BuildKit does: no rules of our own, and no leniency where this builder takes more.
    pub compat: bool,
}

impl Default for LintOptions {
    fn default() -> Self {
        Self {
            build_args: BTreeMap::new(),
            target: None,
            all_stages: true,
            platform: "linux/amd64".to_owned(),
            build_platform: "linux/amd64".to_owned(),
            ignore: None,
            bases: BTreeMap::new(),
            unknown_bases_set_variables: false,
            named_contexts: BTreeSet::new(),
            experimental: false,
            compat: false,
        }
    }
}

/// What matters of a base image's config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseImage {
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Whether it sets a shell.
    pub shell: bool,
    /// Its working directory.
    pub working_dir: String,
    /// Its triggers.
    pub on_build: Vec<String>,
    /// The platform it was made for, as `os/architecture`, if it says.
    pub platform: Option<String>,
}

/// What came of a look at a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings, by line, then by rule.
    pub findings: Vec<Finding>,
    /// The first error that stops the conversion of the file, if there is one. Findings behind it are missing.
    pub error: Option<Problem>,
    /// With `error=true`, the text of the failure that findings are then; findings of level [`Level::Advice`] are none.
    pub violation: Option<String>,
}

impl Report {
    /// The findings of a level.
    pub fn of_level(&self, level: Level) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.level == level)
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// A rule of the reference implementation.
    Warning,
    /// A rule of our own, that never fails anything by itself.
    Advice,
}

impl Level {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Advice => "advice",
        }
    }
}

/// Something that had better be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name of the rule; for rules of our own `DF001` and so on.
    pub rule: &'static str,
    /// A name that speaks; the same as `rule` for those of the reference implementation.
    pub name: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What is wrong.
    pub detail: String,
    /// The instruction, or the part of it that is meant.
    pub span: Span,
    /// The lines that the reference implementation names: mostly those of the instruction.
    pub lines: LineRange,
    /// Where the rule is described, if anywhere.
    pub url: Option<&'static str>,
    /// What the rule is about.
    pub doc: &'static str,
    /// What to do about it.
    pub help: Option<String>,
    /// A change that would mend it without side effects.
    pub fix: Option<Fix>,
}

/// An error that stops the conversion of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The text, in the words of the reference implementation.
    pub message: String,
    /// The place.
    pub span: Span,
    /// The lines, if there are any to name.
    pub lines: Option<LineRange>,
}
