//! Values for tests.

use dfbuild::{Digest, StepId};

use crate::step::Step;

pub(crate) fn diff_id() -> Digest {
    format!("sha256:{}", "ab".repeat(32)).parse().unwrap()
}

pub(crate) fn step(id: usize, stage: &str, number: usize, total: usize, text: &str) -> Step {
    let (stage, prefix, text) = (stage.to_owned(), stage.to_owned(), text.to_owned());
    Step { id: StepId(id), stage, prefix, number, total, text, line: id + 1, last_line: id + 1 }
}
