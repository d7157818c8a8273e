//! What the linter says about the Dockerfile of a build.

use std::env;
use std::io::{self, Write};

use dfbuild::dockerfile::lint::{Finding, Level, LintOptions, lint};
use dfbuild::dockerfile::parse;

use crate::args::BuildArgs;
use crate::check;
use crate::progress::Mode;
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
        let environment = |name: &str| env::var(name).ok();
        let parsed = parse(&source.text);
        if parsed.diagnostics.iter().any(dfbuild::Diagnostic::is_error) {
            return Self::default();
        }
        let names = args.build_context.iter().map(|(name, _)| name.clone());
        let target = args.target.as_ref();
        let options = LintOptions {
            all_stages: false,
            // The images are not known yet.
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
        if self.is_empty() || !matches!(mode, Mode::Plain | Mode::Tty) {
            return;
        }
        let _ = io::stderr().lock().write_all(self.text(of).as_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};

    fn findings(flags: &str, text: &str) -> Findings {
        let line = format!("dfbuild build {flags} .");
        let cli = Cli::read(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Build(args) = cli.command else { panic!("no build") };
        Findings::of(&args, &Source { name: "Dockerfile".into(), text: text.into() })
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
