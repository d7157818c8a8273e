//! Rules of our own: what makes builds slow, images large, or secrets public.
//!
//! They are guesses at what shell text does, and so never fail anything by themselves.

mod base;
mod caching;
mod files;
mod packages;
mod shell;

use std::collections::{BTreeSet, HashMap};

use super::linter::Linter;
use super::{Finding, Level};
use crate::ast::{Dockerfile, Instruction, InstructionKind, Run};
use crate::diagnostic::Fix;
use crate::span::Span;
use shell::Call;

/// A rule of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// `DF001` and so on.
    pub id: &'static str,
    /// A name that speaks.
    pub name: &'static str,
    /// What it is about, in a sentence.
    pub doc: &'static str,
}

const ARG_TOO_EARLY: Advice = Advice {
    id: "DF001",
    name: "ArgTooEarly",
    doc: "Every RUN below an ARG runs again when its value changes, those that do not use it too",
};
const COPY_BEFORE_INSTALL: Advice = Advice {
    id: "DF002",
    name: "CopyBeforeInstall",
    doc: "Any change of the source files makes all dependencies be installed again",
};
const UPDATE_ALONE: Advice = Advice {
    id: "DF003",
    name: "UpdateAlone",
    doc: "Package lists that are fetched in a step of their own are soon too old for the steps below",
};
const CACHE_IN_LAYER: Advice = Advice {
    id: "DF004",
    name: "CacheInLayer",
    doc: "Package lists and download caches make the image larger and are of no use in it",
};
const REWRITTEN_FILES: Advice = Advice {
    id: "DF005",
    name: "RewrittenFiles",
    doc: "Files whose owner or mode changes in a later step are in the image twice",
};
const FLOATING_BASE: Advice = Advice {
    id: "DF006",
    name: "FloatingBase",
    doc: "A base image without a version becomes another one without notice",
};
const ADD_FOR_COPY: Advice = Advice {
    id: "DF007",
    name: "AddForCopy",
    doc: "ADD unpacks archives and fetches addresses; COPY says that neither is meant",
};
const SECRET_COPIED: Advice = Advice {
    id: "DF008",
    name: "SecretCopied",
    doc: "Whoever has the image has every file in its layers, deleted ones too",
};

/// All rules of our own.
pub const ADVICE: &[Advice] = &[
    ARG_TOO_EARLY,
    COPY_BEFORE_INSTALL,
    UPDATE_ALONE,
    CACHE_IN_LAYER,
    REWRITTEN_FILES,
    FLOATING_BASE,
    ADD_FOR_COPY,
    SECRET_COPIED,
];

/// An instruction and what is known of it.
struct Step<'a> {
    instruction: &'a Instruction<'a>,
    /// What a `RUN` runs.
    calls: Vec<Call>,
}

impl<'a> Step<'a> {
    fn run(&self) -> Option<&'a Run<'a>> {
        match &self.instruction.kind {
            InstructionKind::Run(run) => Some(run),
            _ => None,
        }
    }
}

/// Looks at all stages.
pub(super) fn run(linter: &mut Linter, dockerfile: &Dockerfile) {
    let bases = bases(dockerfile);
    let shipped = shipped(&bases);
    for (index, stage) in dockerfile.stages().enumerate() {
        base::check(linter, stage, bases[index].is_some());
        let steps: Vec<Step> = stage.instructions.iter().map(step).collect();
        caching::check(linter, &steps);
        packages::check(linter, &steps, shipped.contains(&index));
        files::check(linter, &steps);
    }
}

fn step<'a>(instruction: &'a Instruction<'a>) -> Step<'a> {
    let calls = match &instruction.kind {
        InstructionKind::Run(run) => shell::calls(run),
        _ => Vec::new(),
    };
    Step { instruction, calls }
}

/// The stages whose layers are in the image: the last one and what it stands on.
fn shipped(bases: &[Option<usize>]) -> BTreeSet<usize> {
    let mut shipped = BTreeSet::new();
    let mut next = bases.len().checked_sub(1);
    while let Some(index) = next {
        shipped.insert(index);
        next = bases[index];
    }
    shipped
}

/// The stage that each stage stands on.
fn bases(dockerfile: &Dockerfile) -> Vec<Option<usize>> {
    let mut last: HashMap<String, usize> = HashMap::new();
    let mut bases = Vec::with_capacity(dockerfile.stages().len());
    for (index, stage) in dockerfile.stages().enumerate() {
        bases.push(last.get(&stage.from().image.value.to_ascii_lowercase()).copied());
        if let Some(name) = &stage.from().name {
            last.insert(name.value.to_ascii_lowercase(), index);
        }
    }
    bases
}

/// A finding about an instruction.
fn found(
    advice: Advice,
    instruction: &Instruction,
    detail: String,
    help: impl Into<String>,
) -> Finding {
    Finding {
        rule: advice.id,
        name: advice.name,
        level: Level::Advice,
        detail,
        span: instruction.head,
        lines: instruction.lines,
        url: None,
        doc: advice.doc,
        help: Some(help.into()),
        fix: None,
    }
}

/// A change at the only place in an instruction that has this text; none if there are several.
fn insert_behind(
    source: &str,
    instruction: &Instruction,
    text: &str,
    insertion: &str,
) -> Option<Fix> {
    let head = source.get(instruction.head.start..instruction.head.end)?;
    let mut places = head.match_indices(text);
    let (at, _) = places.next()?;
    let end = instruction.head.start + at + text.len();
    let whole = source[end..].starts_with(|it: char| it.is_whitespace());
    if places.next().is_some() || !whole {
        return None;
    }
    Some(Fix { span: Span::at(end), replacement: insertion.to_owned() })
}
