//! What the linter says about the Dockerfile of a build.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use dfbuild::Base;
use dfbuild::dockerfile::lint::{BaseImage, Finding, Level, LintOptions, lint};
use dfbuild::dockerfile::parse;

use crate::args::BuildArgs;
use crate::check;
use crate::failure::Failure;
use crate::progress::{Mode, Progress};
use crate::report;
use crate::source::Source;

/// The findings of BuildKit's rules in the stages that are built.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    findings: Vec<Finding>,
    /// With `# check=error=true`, why there is to be no build.
    pub(crate) violation: Option<String>,
}

impl Findings {
    /// Looks at the Dockerfile of a build. Its errors are for the build to report.
    pub(crate) fn of(args: &BuildArgs, source: &Source) -> Self {
        Self::above(&[], args, source)
    }

    /// Looks at it again, when its base images are known.
    pub(crate) fn above(bases: &[Base], args: &BuildArgs, source: &Source) -> Self {
        let environment = |name: &str| env::var(name).ok();
        let parsed = parse(&source.text);
        if parsed.diagnostics.iter().any(dfbuild::Diagnostic::is_error) {
            return Self::default();
        }
        let names = args.build_context.iter().map(|(name, _)| name.clone());
        let target = args.target.as_ref();
        let options = LintOptions {
            all_stages: false,
            bases: bases.iter().map(|base| (base.name.clone(), known(base))).collect(),
            unknown_bases_set_variables: true,
            named_contexts: names.collect(),
            ..check::options(&args.build_arg, target, args.platform.first(), &environment)
        };
        let report = lint(&source.text, &parsed, &options);
        let findings = report.of_level(Level::Warning).cloned().collect();
        Self { findings, violation: report.violation }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Lists them, as buildx does after a build. `of` is the service that is built, if it is one of several.
    pub(crate) fn show(&self, mode: Mode, of: Option<&str>) {
        if self.is_empty() || !matches!(mode, Mode::Plain | Mode::Grouped(_) | Mode::Tty) {
            return;
        }
        let _ = io::stderr().lock().write_all(self.text(of).as_bytes());
    }

    /// Lists them where they are why there is no build, and says so.
    pub(crate) fn refuse(&self, violation: &str, progress: &Progress, mode: Mode) -> ExitCode {
        let message = format!("failed to build: failed to solve: {violation}");
        let hints = vec!["`dfbuild check` shows the places".into()];
        let failure = Failure { message, hints, ..Failure::default() };
        progress.failed(&failure);
        self.show(mode, None);
        match mode {
            Mode::Rawjson => ExitCode::FAILURE,
            _ => report::failure(&failure),
        }
    }

    fn text(&self, of: Option<&str>) -> String {
        let of = of.map(|of| format!("{of}: ")).unwrap_or_default();
        let count = self.findings.len();
        let warnings = if count == 1 { "warning" } else { "warnings" };
        let mut text =
            format!("\n {of}{count} {warnings} found (`dfbuild check` shows the places):\n");
        for finding in &self.findings {
            let (rule, detail, line) = (finding.rule, &finding.detail, finding.lines.start);
            text.push_str(&format!(" - {rule}: {detail} (line {line})\n"));
        }
        text
    }
}

/// What the linter has to know of an image. The plan warns of other platforms.
fn known(base: &Base) -> BaseImage {
    let config = &base.config.config;
    let variable = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    BaseImage {
        env: config.env.iter().map(variable).collect(),
        shell: config.shell.as_ref().is_some_and(|shell| !shell.is_empty()),
        working_dir: config.working_dir.clone(),
        on_build: config.on_build.clone(),
        platform: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};

    fn findings(flags: &str, text: &str) -> Findings {
        let line = format!("dfbuild build {flags} .");
        let cli = Cli::read(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Build(args) = cli.command else { panic!("no build") };
        Findings::of(&args, &Source::standard_input(text))
    }

    #[test]
    fn a_list_with_lines() {
        let found = findings("", "FROM a AS x\nCMD x\nFROM a\nWORKDIR $HOME\nCMD y\nENV a b\n");
        assert_eq!(
            found.text(None),
            "\n 2 warnings found (`dfbuild check` shows the places):\n \
             - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals \
             (line 5)\n \
             - LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 6)\n"
        );
        assert!(found.text(Some("web")).starts_with("\n web: 2 warnings found"));
        assert_eq!(found.violation, None);
    }

    #[test]
    fn a_failure_if_the_file_wants_it() {
        let text = "# check=error=true\nFROM a AS b\nCMD x\nFROM a AS c\n";
        assert_eq!(findings("", text).violation, None, "the stage is not built");
        let expect = Some("lint violation found for rules: JSONArgsRecommended");
        assert_eq!(findings("--target b", text).violation.as_deref(), expect);
        let lenient = "--target b --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=all";
        assert_eq!(findings(lenient, text).violation, None);
    }
}
