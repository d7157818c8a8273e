use std::path::PathBuf;

/// A `--ssh`, before anything is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshFlag {
    pub(crate) id: String,
    /// The agent's socket; the one of the environment if there is none.
    pub(crate) path: Option<PathBuf>,
}

/// Reads `ID` or `ID=SOCKET`; an empty id is `default`.
pub(crate) fn parse(text: &str) -> Result<SshFlag, String> {
    let (id, path) = match text.split_once('=') {
        Some((id, path)) => (id, Some(path).filter(|path| !path.is_empty())),
        None => (text, None),
    };
    if path.is_some_and(|path| path.contains(',')) {
        return Err(format!("{text}: several keys make no agent here: {USE_AN_AGENT}"));
    }
    let id = if id.is_empty() { "default" } else { id };
    Ok(SshFlag { id: id.to_owned(), path: path.map(PathBuf::from) })
}

/// What to do with keys.
pub(crate) const USE_AN_AGENT: &str =
    "add them to a running one with `ssh-add KEY` and give its socket";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags() {
        let flag = |id: &str, path: Option<&str>| {
            Ok(SshFlag { id: id.to_owned(), path: path.map(PathBuf::from) })
        };
        assert_eq!(parse("default"), flag("default", None));
        assert_eq!(parse("a=/run/agent=1"), flag("a", Some("/run/agent=1")));
        assert_eq!(parse("a="), flag("a", None));
        assert_eq!(parse(""), flag("default", None));
        assert!(parse("a=key1,key2").unwrap_err().contains("ssh-add"));
    }
}
