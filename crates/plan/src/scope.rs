use dfbuild_dockerfile::expand::Expander;
use dfbuild_dockerfile::{Diagnostic, Instruction, LineRange, Span, Word};
use dfbuild_image::{ImageConfig, Platform};

use crate::environment::Environment;
use crate::error::error;
use crate::graph::{HistoryLine, Step, StepKind};

/// What is in force at one point of a stage. A stage that is built upon hands a copy to its child.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) platform: Platform,
    pub(crate) config: ImageConfig,
    /// `ENV` and `ARG`, in force for `RUN` and for expansion.
    pub(crate) env: Environment,
    /// The declared arguments, as the history of a `RUN` lists them.
    pub(crate) declared: Vec<(String, Option<String>)>,
    /// Whether `CMD` was set in this very stage, so that `ENTRYPOINT` does not clear it.
    pub(crate) cmd_set: bool,
    pub(crate) escape: char,
    pub(crate) steps: Vec<Step>,
    pub(crate) history: Vec<HistoryLine>,
}

/// The `PATH` of images that set none (BuildKit `util/system/path.go`).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Scope {
    /// The scope right after `FROM`, for an image or another stage's end.
    pub(crate) fn new(
        parent: Option<&Self>,
        mut config: ImageConfig,
        platform: Platform,
        escape: char,
    ) -> Self {
        if !config.config.env.iter().any(|variable| variable.starts_with("PATH=")) {
            config.config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        let mut env = parent.map(|scope| scope.env.clone()).unwrap_or_default();
        for (name, value) in Environment::from_config(&config.config.env).pairs() {
            env.set(name, value.as_str());
        }
        if !config.config.working_dir.is_empty() {
            config.config.working_dir = absolute("/", &config.config.working_dir);
        }
        Self {
            platform,
            config,
            env,
            declared: parent.map(|scope| scope.declared.clone()).unwrap_or_default(),
            cmd_set: false,
            escape,
            steps: Vec::new(),
            history: Vec::new(),
        }
    }

    /// The working directory, absolute.
    pub(crate) fn cwd(&self) -> String {
        absolute("/", &self.config.config.working_dir)
    }

    /// `text` with the shell of the image before it.
    pub(crate) fn shell_form(&self, text: &str) -> Vec<String> {
        let default = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
        let shell = self.config.config.shell.clone().filter(|shell| !shell.is_empty());
        let mut args = shell.unwrap_or_else(default);
        args.push(text.to_owned());
        args
    }

    /// Expands one word with the variables in force.
    pub(crate) fn expand(&self, word: &Word) -> Result<String, Diagnostic> {
        self.expand_text(&word.value).map_err(|message| error(message, word.span))
    }

    /// Expands one word that has no place of its own.
    pub(crate) fn expand_text(&self, word: &str) -> Result<String, String> {
        let lookup = |name: &str| self.env.get(name).map(ToOwned::to_owned);
        let expander = Expander::new(self.escape);
        expander.expand_word(word, &lookup).map_err(|error| error.to_string())
    }

    /// Expands the body of a heredoc.
    pub(crate) fn expand_body(&self, text: &str, span: Span) -> Result<String, Diagnostic> {
        let lookup = |name: &str| self.env.get(name).map(ToOwned::to_owned);
        let expanded = Expander::heredoc().expand_word(text, &lookup);
        expanded.map_err(|problem| error(problem.to_string(), span))
    }

    /// Adds a line of history without a layer.
    pub(crate) fn remember(&mut self, created_by: impl Into<String>) {
        self.history.push(HistoryLine { created_by: created_by.into(), step: None });
    }

    /// Adds a step and the line of history for its layer.
    pub(crate) fn push(&mut self, place: &Place, kind: StepKind, created_by: impl Into<String>) {
        let step = Step { text: place.text.clone(), span: place.span, lines: place.lines, kind };
        self.history
            .push(HistoryLine { created_by: created_by.into(), step: Some(self.steps.len()) });
        self.steps.push(step);
    }
}

/// What a step says of where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) text: String,
    pub(crate) span: Span,
    pub(crate) lines: LineRange,
}

impl Place {
    pub(crate) fn of(instruction: &Instruction) -> Self {
        Self {
            text: instruction.original.text().into_owned(),
            span: instruction.span,
            lines: instruction.lines,
        }
    }
}

/// `path` from `directory`, cleaned; both with slashes, the result absolute and without a slash at
/// its end (Go `path.Clean`).
pub(crate) fn absolute(directory: &str, path: &str) -> String {
    let joined =
        if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut names: Vec<&str> = Vec::new();
    for name in joined.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::absolute;

    #[test]
    fn paths() {
        for (directory, path, result) in [
            ("/", "", "/"),
            ("/a", "b", "/a/b"),
            ("/a", "/b/", "/b"),
            ("/a", "../../b/./c//", "/b/c"),
        ] {
            assert_eq!(absolute(directory, path), result);
        }
    }
}
