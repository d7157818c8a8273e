//! Collecting findings, and keeping those that are switched off from coming up.

use std::collections::BTreeSet;

use super::config::Config;
use super::expanded::ExpandedInstruction;
use super::rule::Rule;
use super::{Finding, Level, LintOptions};
use crate::Parsed;
use crate::ast::{Comments, Instruction};
use crate::span::{LineIndex, LineRange, Span, Spanned};

/// Comparing names is all that grows with the product of two numbers of lines: a file with a thousand unknown variables
/// among a thousand known ones still has all its suggestions.
const MAX_COMPARISONS: usize = 1_000_000;

/// Collects findings.
pub(super) struct Linter<'a> {
    pub(super) source: &'a str,
    pub(super) index: &'a LineIndex,
    config: Config,
    experimental: bool,
    /// How many more names may be compared for suggestions.
    comparisons: usize,
    findings: Vec<Finding>,
    /// The instructions after expansion, if somebody wants them.
    recorded: Option<Vec<ExpandedInstruction>>,
}

/// The instruction that a finding is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) span: Span,
    pub(super) lines: LineRange,
    pub(super) comments: Comments<'a>,
    /// Whether a trigger of the base is meant, which stands in no file.
    pub(super) is_trigger: bool,
}

impl<'a> Place<'a> {
    pub(super) fn of(instruction: &'a Instruction) -> Self {
        Self {
            span: instruction.head,
            lines: instruction.lines,
            comments: instruction.comments,
            is_trigger: false,
        }
    }
}

impl<'a> Linter<'a> {
    /// Reads the options of the file or the build argument that overrides them.
    pub(super) fn new(
        source: &'a str,
        index: &'a LineIndex,
        parsed: &Parsed,
        options: &LintOptions,
    ) -> Result<Self, String> {
        let directive = parsed.dockerfile.directives.check.as_ref();
        let text = match options.build_args.get("BUILDKIT_DOCKERFILE_CHECK") {
            Some(text) => text,
            None => directive.map_or("", |it| Config::first_word(&it.value)),
        };
        let config = Config::parse(text)
            .map_err(|reason| format!("failed to parse check options: {reason}"))?;
        let experimental = options.experimental;
        Ok(Self {
            source,
            index,
            config,
            experimental,
            comparisons: MAX_COMPARISONS,
            findings: Vec::new(),
            recorded: None,
        })
    }

    /// One that is after the instructions, not after findings.
    pub(super) fn recording(source: &'a str, index: &'a LineIndex, options: &LintOptions) -> Self {
        let config = Config { skip_all: true, ..Config::default() };
        let experimental = options.experimental;
        Self {
            source,
            index,
            config,
            experimental,
            comparisons: 0,
            findings: Vec::new(),
            recorded: Some(Vec::new()),
        }
    }

    /// Whether a name may be compared with `count` others to suggest one of them.
    pub(super) fn may_compare(&mut self, count: usize) -> bool {
        match self.comparisons.checked_sub(count) {
            Some(rest) => self.comparisons = rest,
            None => return false,
        }
        true
    }

    pub(super) fn is_recording(&self) -> bool {
        self.recorded.is_some()
    }

    pub(super) fn push_record(&mut self, instruction: ExpandedInstruction) {
        self.recorded.get_or_insert_default().push(instruction);
    }

    /// What was recorded.
    pub(super) fn recorded(self) -> Vec<ExpandedInstruction> {
        self.recorded.unwrap_or_default()
    }

    /// Reports a finding of a rule of the reference implementation.
    pub(super) fn warn(&mut self, rule: &Rule, place: Place, detail: String) {
        self.warn_with_help(rule, place, detail, None);
    }

    /// Reports a finding and what to do about it.
    pub(super) fn warn_with_help(
        &mut self,
        rule: &Rule,
        place: Place,
        detail: String,
        help: Option<String>,
    ) {
        self.push(
            rule.experimental,
            place.comments,
            Finding {
                rule: rule.name,
                name: rule.name,
                level: Level::Warning,
                detail,
                span: place.span,
                lines: place.lines,
                url: rule.url,
                doc: rule.doc,
                help,
                fix: None,
            },
        );
    }

    /// Reports a finding of a rule of our own about an instruction with these comments.
    pub(super) fn advise(&mut self, comments: Comments, finding: Finding) {
        self.push(false, comments, finding);
    }

    fn push(&mut self, experimental: bool, comments: Comments, finding: Finding) {
        let own = self.config_of(comments);
        let configs = || std::iter::once(&self.config).chain(own.as_ref());
        let wanted = if experimental {
            self.experimental || configs().any(|it| it.allows_experimental(finding.rule))
        } else {
            !configs().any(|it| it.skips(finding.rule) || it.skips(finding.name))
        };
        if wanted {
            self.findings.push(finding);
        }
    }

    /// The options in the comments above an instruction.
    fn config_of(&self, comments: Comments) -> Option<Config> {
        // As in the reference implementation, the `#` must be the first character of the line.
        let counts = |comment: &Spanned<&str>| {
            let line = self.source[..comment.span.start].rfind('\n').map_or(0, |at| at + 1);
            self.source[line..].starts_with('#')
        };
        Config::of_comments(comments.iter().filter(counts).map(|it| it.value))
    }

    /// The failure that findings are with `error=true`.
    pub(super) fn violation(&self) -> Option<String> {
        let rules: BTreeSet<&str> = self.findings.iter().map(|it| it.rule).collect();
        if !self.config.error || rules.is_empty() {
            return None;
        }
        let rules: Vec<&str> = rules.into_iter().collect();
        Some(format!("lint violation found for rules: {}", rules.join(", ")))
    }

    /// The findings in order.
    pub(super) fn finish(mut self) -> Vec<Finding> {
        self.findings.sort_by(|a, b| {
            let key = |it: &Finding| (it.lines.start, it.level);
            key(a).cmp(&key(b)).then(a.rule.cmp(b.rule)).then_with(|| a.detail.cmp(&b.detail))
        });
        self.findings
    }
}
