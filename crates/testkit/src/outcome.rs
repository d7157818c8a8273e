use std::process::Output;

/// How a run of the command ended, and what it printed.
#[derive(Debug, Clone)]
#[must_use = "an outcome that nobody looks at proves nothing"]
pub struct Outcome {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Outcome {
    /// The same, if the exit code is 0.
    ///
    /// # Panics
    /// With everything that was printed, if it is not.
    pub fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    /// The same, if the exit code is this one.
    ///
    /// # Panics
    /// With everything that was printed, if it is not.
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The same, if standard error has all these parts.
    ///
    /// # Panics
    /// With standard error, if one is missing.
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no `{part}` in: {}", self.stderr);
        }
        self
    }

    /// How many steps the summary of a build says were cached.
    pub fn cached(&self) -> usize {
        self.summary(", ", " step")
    }

    /// How many steps the summary of a build says ran.
    pub fn ran(&self) -> usize {
        self.summary(" cached, ", " ran")
    }

    /// The image id that the summary of a build names.
    pub fn image_id(&self) -> &str {
        let id = self.stderr.lines().rev().find_map(|line| line.strip_prefix("image "));
        id.unwrap_or_else(|| panic!("no summary in: {}", self.stderr))
    }

    /// The instructions whose steps the plain progress calls cached, in the order of their ends.
    pub fn cached_steps(&self) -> Vec<&str> {
        self.steps(|end| end.starts_with("CACHED "))
    }

    /// The instructions whose steps the plain progress says ran, in the order of their ends.
    pub fn ran_steps(&self) -> Vec<&str> {
        self.steps(|end| end.starts_with("DONE "))
    }

    fn steps(&self, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
        let lines =
            || self.stderr.lines().filter_map(|line| line.strip_prefix('#')?.split_once(' '));
        let label = |number: &str| {
            let (_, text) = lines().find(|(other, _)| *other == number)?;
            // `[stage 2/3] RUN make`; an export of a service is `[web] exporting image`.
            let (name, text) = text.strip_prefix('[')?.split_once("] ")?;
            name.contains('/').then_some(text)
        };
        lines().filter(|(_, text)| wanted(text)).filter_map(|(number, _)| label(number)).collect()
    }

    /// The number between two pieces of the summary's last line.
    fn summary(&self, before: &str, after: &str) -> usize {
        let line = self.stderr.lines().rev().find(|line| line.starts_with("time  "));
        let number = line.and_then(|line| {
            let (_, rest) = line.split_once(before)?;
            rest.split_once(after)?.0.parse().ok()
        });
        number.unwrap_or_else(|| panic!("no summary in: {}", self.stderr))
    }
}

/// Sees to it that a command failed with exit code 1 and said all these parts.
///
/// # Panics
/// With what was printed, if it did not.
pub fn fails(outcome: Outcome, parts: &[&str]) {
    let _ = outcome.exits_with(1).says(parts);
}
