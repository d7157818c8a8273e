//! Rules about stages as a whole: their names, and the case of all instructions.

use std::collections::HashSet;

use super::linter::{Linter, Place};
use super::rule::{CONSISTENT_INSTRUCTION_CASING, DUPLICATE_STAGE_NAME, RESERVED_STAGE_NAME};
use crate::ast::{Dockerfile, Instruction};
use crate::quote::quote;

/// `DuplicateStageName` and `ReservedStageName`.
pub(super) fn names(linter: &mut Linter, dockerfile: &Dockerfile) {
    let mut seen = HashSet::new();
    for stage in dockerfile.stages() {
        let Some(name) = &stage.from().name else { continue };
        let name = name.as_str();
        let place = Place::of(stage.header);
        if name == "scratch" || name == "context" {
            let quoted = quote(name);
            let detail =
                format!("Stage name should not use the same name as reserved stage {quoted}");
            linter.warn(&RESERVED_STAGE_NAME, place, detail);
        }
        if !seen.insert(name) {
            let detail =
                format!("Duplicate stage name {}, stage names should be unique", quote(name));
            linter.warn(&DUPLICATE_STAGE_NAME, place, detail);
        }
    }
}

/// `ConsistentInstructionCasing`: what most instructions have, and upper case in a draw. Global arguments have no say.
pub(super) fn casing(linter: &mut Linter, dockerfile: &Dockerfile) {
    let instructions = || dockerfile.instructions().skip(dockerfile.global_args().len());
    let keyword = |it: &Instruction| it.keyword_text().into_owned();
    let lower = instructions().filter(|it| keyword(it) == keyword(it).to_lowercase()).count();
    let upper = instructions().filter(|it| keyword(it) == keyword(it).to_uppercase()).count();
    let (wanted, change): (&str, fn(&str) -> String) = if lower > upper {
        ("lowercase", str::to_lowercase)
    } else {
        ("uppercase", str::to_uppercase)
    };
    for instruction in instructions() {
        let keyword = keyword(instruction);
        if change(&keyword) != keyword {
            let detail = format!(
                "Command '{keyword}' should match the case of the command majority ({wanted})"
            );
            linter.warn(&CONSISTENT_INSTRUCTION_CASING, Place::of(instruction), detail);
        }
    }
}
