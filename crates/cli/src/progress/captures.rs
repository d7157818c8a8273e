use std::collections::HashMap;
use std::io::{BufRead, BufReader, Seek, Write};

use dfbuild::StepId;
use tempfile::SpooledTempFile;

use super::lines::clean;

/// What running steps wrote, kept until they succeed: a failed step is shown with its whole output.
#[derive(Default)]
pub(super) struct Captures(HashMap<StepId, SpooledTempFile>);

/// More than this of one step goes to a temporary file.
const IN_MEMORY: usize = 256 * 1024;

impl Captures {
    /// Adds to a step's output. If the disk is full the build is told so by others.
    pub(super) fn add(&mut self, step: StepId, bytes: &[u8]) {
        let file = self.0.entry(step).or_insert_with(|| SpooledTempFile::new(IN_MEMORY));
        let _ = file.write_all(bytes);
    }

    pub(super) fn forget(&mut self, step: StepId) {
        self.0.remove(&step);
    }

    pub(super) fn take(&mut self, step: StepId) -> Capture {
        Capture(self.0.remove(&step))
    }
}

/// The output of one step.
pub(crate) struct Capture(Option<SpooledTempFile>);

impl Capture {
    /// Its lines, fit for a terminal.
    pub(crate) fn lines(self) -> impl Iterator<Item = String> {
        let reader = self.0.and_then(|mut file| {
            file.rewind().ok()?;
            Some(BufReader::new(file).split(b'\n'))
        });
        reader.into_iter().flatten().map_while(Result::ok).map(|line| clean(&line))
    }

    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut captures = Captures::default();
        captures.add(StepId(0), bytes);
        captures.take(StepId(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_whole() {
        let mut captures = Captures::default();
        let long = "x".repeat(1000);
        for _ in 0..1000 {
            captures.add(StepId(1), long.as_bytes());
            captures.add(StepId(1), b"\n");
            captures.add(StepId(2), b"other\n");
        }
        captures.add(StepId(1), b"last");
        let lines: Vec<String> = captures.take(StepId(1)).lines().collect();
        assert_eq!(lines.len(), 1001);
        assert!(lines[..1000].iter().all(|line| *line == long));
        assert_eq!(lines[1000], "last");
        assert_eq!(captures.take(StepId(3)).lines().count(), 0);
        captures.forget(StepId(2));
        assert_eq!(captures.take(StepId(2)).lines().count(), 0);
    }
}
