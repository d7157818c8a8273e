use dfbuild::{StepId, StepInfo};
use serde::Serialize;

/// A step as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    #[serde(rename = "step", serialize_with = "serialize_id")]
    pub(crate) id: StepId,
    pub(crate) stage: String,
    /// Its number in the stage; `FROM` is 1.
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
        format!("[{} {}/{}] {}", self.stage, self.number, self.total, self.text)
    }
}

impl From<&StepInfo> for Step {
    fn from(step: &StepInfo) -> Self {
        Self {
            id: step.id,
            stage: step.stage.clone(),
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
