use std::collections::BTreeMap;

use dfbuild_cache::{Label, Reason};
use dfbuild_image::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bust::Bust;
use crate::event::{StepId, StepInfo};
use crate::schedule::declared::first_use;

/// What comes from the cache, what does not, and why: of a build that would run, or of one that did.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let text = "FROM scratch AS base\nRUN make\nFROM base\nRUN check\n";
/// let build = Build::new(BuildContext::Empty).dockerfile_text(text);
/// let nobody = |_: &Event| {};
/// build.clone().target("base").run(&engine, &nobody, &Cancel::new())?;
///
/// let explanation = build.load(&engine, &nobody, &Cancel::new())?.explain(&nobody)?;
/// assert_eq!(explanation.steps.len(), 2);
/// assert_eq!(explanation.missed().next().unwrap().0.text, "RUN check");
/// assert!(explanation.busts.is_empty()); // It runs for the first time.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The steps, stage by stage.
    pub steps: Vec<ExplainedStep>,
    /// What the steps that are not cached come down to.
    pub busts: Vec<Bust>,
    /// How the build ended before all was built, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EarlyEnd>,
}

/// How a build ends without an image.
///
/// ```
/// use dfbuild::testing::FakeSandbox;
/// use dfbuild::{Build, BuildContext, Cancel, EarlyEnd, Engine, Event};
///
/// # let store = tempfile::tempdir()?;
/// let engine = Engine::open(store.path())?.with_sandbox(FakeSandbox::new(|_| 1));
/// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
/// assert!(build.run(&engine, &|_: &Event| {}, &Cancel::new()).is_err());
/// let last = build.load(&engine, &|_: &Event| {}, &Cancel::new())?.last_explanation();
/// assert_eq!(last.unwrap().end, Some(EarlyEnd::Failed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EarlyEnd {
    /// Something went wrong.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// A step of an [`Explanation`].
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch AS base\nRUN make\n");
/// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let explanation = loaded.explain(&|_: &Event| {})?;
/// let step = &explanation.steps[0];
/// assert_eq!((step.stage.as_str(), step.number, step.line), ("base", 1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainedStep {
    /// Its stage: the name, else `stage-N`.
    pub stage: String,
    /// Its number in the stage as BuildKit counts: the `FROM` of an image is 1.
    pub number: usize,
    /// How many the stage has.
    pub total: usize,
    /// The instruction on one line.
    pub text: String,
    /// The line of the Dockerfile where it begins, from 1.
    pub line: usize,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What becomes of a step.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::Fate;
///
/// let text = "FROM scratch AS docs\nRUN make\nFROM scratch\nCOPY --from=docs / /docs/\n";
/// let build = Build::new(BuildContext::Empty).dockerfile_text(text);
/// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
/// for step in loaded.explain(&|_: &Event| {})?.steps {
///     match step.fate {
///         Fate::Cached { created } => println!("{}: since {created}", step.text),
///         Fate::Missed { reasons, .. } => println!("{} runs: {reasons:?}", step.text),
///         _ => println!("{}: nobody needs it", step.text),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fate {
    /// Its result is in the cache.
    Cached {
        /// When it was made.
        created: Timestamp,
    },
    /// It runs. If all reasons are that others run ([`Reason::is_dragged`]), it may turn out to be
    /// cached when they make the same files as before.
    Missed {
        /// Everything that keeps it from being cached.
        reasons: Vec<Reason>,
        /// How long it ran: now if it did, else the last time; unknown if it never did.
        milliseconds: Option<u64>,
    },
    /// Nothing needs it: all that reads from its stage is cached.
    NotNeeded,
    /// The build ended before it came to it.
    NotReached,
}

/// What is known of the fate of a step while its build goes on.
#[derive(Debug, Clone)]
pub(crate) enum Story {
    Cached(Timestamp),
    Missed { reasons: Vec<Reason>, milliseconds: Option<u64>, dragged_by: Option<StepId> },
}

impl Explanation {
    /// Puts together what was learned of the steps of a build of `dockerfile`.
    pub(crate) fn new(
        infos: &[&StepInfo],
        stories: &BTreeMap<StepId, Story>,
        dockerfile: &str,
    ) -> Self {
        let steps = infos.iter().map(|info| ExplainedStep {
            stage: info.stage.clone(),
            number: info.number,
            total: info.total,
            text: info.text.clone(),
            line: info.line,
            fate: match stories.get(&info.id) {
                Some(Story::Cached(created)) => Fate::Cached { created: *created },
                Some(Story::Missed { reasons, milliseconds, .. }) => {
                    Fate::Missed { reasons: reasons.clone(), milliseconds: *milliseconds }
                }
                None => Fate::NotNeeded,
            },
        });
        Self { steps: steps.collect(), busts: busts(infos, stories, dockerfile), end: None }
    }

    /// Notes that the build ended without an image: of what it did not come to nothing is known.
    pub(crate) fn ended_early(&mut self, end: EarlyEnd) {
        self.end = Some(end);
        for step in &mut self.steps {
            if step.fate == Fate::NotNeeded {
                step.fate = Fate::NotReached;
            }
        }
    }

    /// The steps that are not in the cache.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
    /// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let explanation = loaded.explain(&|_: &Event| {})?;
    /// let (step, reasons) = explanation.missed().next().unwrap();
    /// assert_eq!(step.text, "RUN make");
    /// assert_eq!(reasons, [dfbuild::Reason::New]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn missed(&self) -> impl Iterator<Item = (&ExplainedStep, &[Reason])> {
        self.steps.iter().filter_map(|step| match &step.fate {
            Fate::Missed { reasons, .. } => Some((step, reasons.as_slice())),
            _ => None,
        })
    }
}

/// What makes the busts of two steps the same.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    Variable(String, Option<usize>),
    Base(String),
    /// What one instruction sets for all that come after it: the user, the shell.
    Setting(Reason),
    /// The working directory, then and now.
    Directory(String, String),
    Step(StepId),
}

fn busts(infos: &[&StepInfo], stories: &BTreeMap<StepId, Story>, dockerfile: &str) -> Vec<Bust> {
    let mut busts: Vec<(Cause, Bust)> = Vec::new();
    // Which of them a step belongs to. Those that drag a step along come before it.
    let mut of: BTreeMap<StepId, usize> = BTreeMap::new();
    for info in infos {
        let Some(Story::Missed { reasons, milliseconds, dragged_by }) = stories.get(&info.id)
        else {
            continue;
        };
        let at = match reasons.iter().find(|reason| !reason.is_dragged()) {
            None => match dragged_by.and_then(|step| of.get(&step)) {
                Some(at) => *at,
                None => continue,
            },
            Some(reason) if is_wish(reason) => continue,
            Some(reason) => {
                let cause = cause(reason, info.id);
                let known = busts.iter().position(|(known, _)| follows(&cause, known));
                known.unwrap_or_else(|| {
                    busts.push((cause, bust(reason, info, dockerfile)));
                    busts.len() - 1
                })
            }
        };
        of.insert(info.id, at);
        let bust = &mut busts[at].1;
        bust.steps += 1;
        bust.milliseconds += milliseconds.unwrap_or(0);
    }
    // That a new step runs is nothing to be sorry for, unless it makes others run.
    let is_cause = |bust: &Bust| bust.reason != Reason::New || bust.steps > 1;
    busts.into_iter().map(|(_, bust)| bust).filter(is_cause).collect()
}

/// Whether a step runs because that was asked for.
fn is_wish(reason: &Reason) -> bool {
    matches!(reason, Reason::NoCache | Reason::NoCacheFilter | Reason::NoCacheStep)
}

/// Whether a cause is one that is known, or comes of it: what is relative to a working directory
/// changes with it.
fn follows(cause: &Cause, known: &Cause) -> bool {
    let (Cause::Directory(old, new), Cause::Directory(known_old, known_new)) = (cause, known)
    else {
        return cause == known;
    };
    let (old, new) = (old.strip_prefix(known_old.as_str()), new.strip_prefix(known_new.as_str()));
    old.is_some() && old.map(|it| it.trim_matches('/')) == new.map(|it| it.trim_matches('/'))
}

fn cause(reason: &Reason, step: StepId) -> Cause {
    match reason {
        Reason::Variable { name, declared, .. } => {
            Cause::Variable(name.clone(), declared.as_ref().map(|place| place.line))
        }
        Reason::Base { new_name, .. } => Cause::Base(new_name.clone()),
        Reason::Part {
            label: Label::WorkingDirectory | Label::Destination,
            old: Some(old),
            new: Some(new),
            ..
        } => Cause::Directory(old.clone(), new.clone()),
        Reason::Part { label: Label::User | Label::Platform | Label::Host, .. }
        | Reason::Shell { .. } => Cause::Setting(reason.clone()),
        _ => Cause::Step(step),
    }
}

fn bust(reason: &Reason, info: &StepInfo, dockerfile: &str) -> Bust {
    let (mut line, mut first) = (info.line, None);
    if let Reason::Variable { name, declared: Some(place), .. } = reason {
        line = place.line;
        first = first_use(dockerfile, name, line).filter(|first| *first > info.line);
    }
    Bust {
        reason: reason.clone(),
        text: info.text.clone(),
        line,
        steps: 0,
        milliseconds: 0,
        first_use: first,
    }
}
