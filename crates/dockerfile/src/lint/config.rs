//! Options of the linter: `# check=` at the top of a file or above an instruction, and a build argument.

use crate::quote::quote;

/// What `# check=` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) skip_all: bool,
    pub(super) skip: Vec<String>,
    pub(super) experimental_all: bool,
    pub(super) experimental: Vec<String>,
    /// Whether any finding fails the build.
    pub(super) error: bool,
}

impl Config {
    /// Reads `skip=A,B;error=true;experimental=all`. The error is in the words of the reference implementation.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(config);
        }
        for part in text.splitn(3, ';') {
            let invalid = |text: &str| format!("invalid check option {}", quote(text));
            let (key, value) = part.split_once('=').ok_or_else(|| invalid(part))?;
            let value = value.trim();
            match key.trim() {
                "skip" if value == "all" => config.skip_all = true,
                "skip" => config.skip = names(value),
                "experimental" if value == "all" => config.experimental_all = true,
                "experimental" => config.experimental = names(value),
                "error" => {
                    config.error = parse_bool(value).ok_or_else(|| {
                        format!(
                            "failed to parse check option {}: strconv.ParseBool: parsing {}: invalid syntax",
                            quote(part),
                            quote(value)
                        )
                    })?;
                }
                other => return Err(invalid(other)),
            }
        }
        Ok(config)
    }

    /// The first word of a directive; what follows it is a comment.
    pub(super) fn first_word(value: &str) -> &str {
        value.split(' ').next().unwrap_or_default()
    }

    /// What a `check=` among comments says. The first one counts, and one that cannot be read says nothing.
    pub(super) fn of_comments<'a>(comments: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let value = comments.into_iter().find_map(|comment| {
            let (key, value) = comment.split_once('=')?;
            if key.trim_end().eq_ignore_ascii_case("check") { Some(value.trim()) } else { None }
        })?;
        Self::parse(Self::first_word(value)).ok()
    }

    /// Whether a rule is switched off.
    pub(super) fn skips(&self, name: &str) -> bool {
        self.skip_all || self.skip.iter().any(|it| it == name)
    }

    /// Whether an experimental rule is switched on.
    pub(super) fn allows_experimental(&self, name: &str) -> bool {
        self.experimental_all || self.experimental.iter().any(|it| it == name)
    }
}

fn names(value: &str) -> Vec<String> {
    value.split(',').map(|name| name.trim().to_owned()).collect()
}

/// Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn options_are_separated_by_semicolons() {
        let config = Config::parse(" skip=A, B;error=TRUE;experimental=all").unwrap();
        assert!(config.skips("A") && config.skips("B") && !config.skips("C"));
        assert!(config.error && config.allows_experimental("X"));
        assert!(Config::parse("skip=all").unwrap().skips("X"));
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text| Config::parse(text).unwrap_err();
        assert_eq!(error("skip"), "invalid check option \"skip\"");
        assert_eq!(error("reason=x"), "invalid check option \"reason\"");
        assert_eq!(
            error("error=yes"),
            "failed to parse check option \"error=yes\": strconv.ParseBool: parsing \"yes\": invalid syntax"
        );
    }

    #[test]
    fn comments_may_hold_options() {
        let config = Config::of_comments(["why", "Check = skip=A // really", "check=skip=B"]);
        assert!(config.is_some_and(|it| it.skips("A") && !it.skips("B")));
        assert_eq!(Config::of_comments(["check=nonsense", "check=skip=B"]), None);
        assert_eq!(Config::of_comments(["checked=x"]), None);
    }
}
