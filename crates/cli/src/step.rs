use dfbuild::{StepId, StepInfo};
use serde::Serialize;

/// A step as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    #[serde(rename = "step", serialize_with = "serialize_id")]
    pub(crate) id: StepId,
    pub(crate) stage: String,
    /// What stands before the number.
    #[serde(skip)]
    pub(crate) prefix: String,
    /// Its number in the stage; the `FROM` of an image is 1.
    pub(crate) number: usize,
    /// How many the stage has.
    pub(crate) total: usize,
    pub(crate) text: String,
    /// The line of the Dockerfile where it begins, from 1.
    pub(crate) line: usize,
    /// The line where it ends.
    pub(crate) last_line: usize,
}

impl Step {
    /// `[build 2/5] RUN make`, as BuildKit names a step.
    pub(crate) fn label(&self) -> String {
        label(&self.prefix, self.number, self.total, &self.text)
    }
}

/// `[build 2/5] RUN make`, or `[2/5] RUN make` without a prefix. The number is as wide as that of the
/// last step, so that the steps of a stage stand below each other.
pub(crate) fn label(prefix: &str, number: usize, total: usize, text: &str) -> String {
    let space = if prefix.is_empty() { "" } else { " " };
    let width = total.to_string().len();
    format!("[{prefix}{space}{number:>width$}/{total}] {text}")
}

impl From<&StepInfo> for Step {
    fn from(step: &StepInfo) -> Self {
        Self {
            id: step.id,
            stage: step.stage.clone(),
            prefix: step.prefix.clone(),
            number: step.number,
            total: step.total,
            text: step.text.clone(),
            line: step.line,
            last_line: step.last_line,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn serialize_id<S: serde::Serializer>(id: &StepId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(id.0 as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        assert_eq!(label("build", 2, 5, "RUN make"), "[build 2/5] RUN make");
        assert_eq!(label("", 2, 12, "RUN make"), "[ 2/12] RUN make");
        assert_eq!(label("linux/arm64 b", 12, 12, "RUN x"), "[linux/arm64 b 12/12] RUN x");
    }
}
