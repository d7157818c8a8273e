/// What kind of remote place a context names, if it is one: a word for the message.
pub(crate) fn remote_context(value: &str) -> Option<&'static str> {
    const GIT: [&str; 4] = ["git://", "git@", "ssh://", "github.com/"];
    if GIT.iter().any(|prefix| value.starts_with(prefix)) {
        return Some("a git repository");
    }
    if value.starts_with("http://") || value.starts_with("https://") {
        let path = value.split('#').next().unwrap_or(value);
        return Some(if path.strip_suffix(".git").is_some() {
            "a git repository"
        } else {
            "a URL"
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(remote_context("https://a.example/b.git#main"), Some("a git repository"));
        assert_eq!(remote_context("git@a.example:b"), Some("a git repository"));
        assert_eq!(remote_context("https://a.example/b.tar"), Some("a URL"));
        assert_eq!(remote_context("./https"), None);
        assert_eq!(remote_context("."), None);
    }
}
