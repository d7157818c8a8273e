/// What a server asks for in `WWW-Authenticate` (RFC 9110, 11.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The strongest of the challenges in these headers that can be answered: a token server
    /// before a password.
    pub(crate) fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let all: Vec<Self> = headers.into_iter().flat_map(parse).collect();
        let bearer = all.iter().find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or(all.first()).cloned()
    }
}

/// One header may hold several challenges, each a scheme and its parameters.
fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',']).unwrap_or(rest.len());
        let scheme = &rest[..end];
        let (parameters, after) = parameters(&rest[end..]);
        rest = after.trim_start_matches([' ', ',']);
        let get = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = get("realm")
        {
            challenges.push(Challenge::Bearer {
                realm,
                service: get("service"),
                scope: get("scope"),
            });
        }
    }
    challenges
}

/// `key=value` pairs up to the next scheme, and what follows.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let start = rest.trim_start_matches([' ', ',', '\t']);
        let name =
            start.find(|c: char| !(c.is_ascii_alphanumeric() || "-_!#$%&'*+.^`|~".contains(c)));
        let Some(name_end) = name.filter(|&at| at > 0) else { return (found, start) };
        let after = start[name_end..].trim_start();
        let Some(value) = after.strip_prefix('=') else { return (found, start) };
        let (value, after) = value_of(value.trim_start());
        found.push((start[..name_end].to_owned(), value));
        rest = after;
    }
}

/// A token or a quoted string, in which a backslash takes the next character as it is.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(ToOwned::to_owned),
            scope: scope.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn challenges() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/ubuntu:pull""#;
        for (header, expect) in [
            (
                hub,
                Some(bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/ubuntu:pull"),
                )),
            ),
            (r#"Basic realm="Registry Realm""#, Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                r#"bearer realm = "http://t/", service=s"#,
                Some(bearer("http://t/", Some("s"), None)),
            ),
            (
                r#"Bearer realm="http://t/",scope="repository:a:pull,push repository:b:pull""#,
                Some(bearer("http://t/", None, Some("repository:a:pull,push repository:b:pull"))),
            ),
            (r#"Basic realm="x", Bearer realm="http://t/""#, Some(bearer("http://t/", None, None))),
            (r#"Bearer realm="a\"b",error="x, y""#, Some(bearer("a\"b", None, None))),
            (r#"Bearer service="s""#, None),
            ("Negotiate", None),
            ("Negotiate abc==, Basic realm=x", Some(Challenge::Basic)),
            ("", None),
            (r#"Bearer realm="unterminated"#, Some(bearer("unterminated", None, None))),
        ] {
            assert_eq!(Challenge::choose([header]), expect, "{header}");
        }
        assert_eq!(
            Challenge::choose(["Basic realm=x", r#"Bearer realm="http://t/""#]),
            Some(bearer("http://t/", None, None))
        );
    }
}
