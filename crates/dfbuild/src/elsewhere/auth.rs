use dfbuild_remote::basic_authorization;

use crate::error::StepError;
use crate::secrets::Secrets;

/// The `Authorization` for a file of a web server: of the secrets `HTTP_AUTH_HEADER_HOST`, which is
/// the header's value, and `HTTP_AUTH_TOKEN_HOST`, the first that is there. `HOST` may have the port.
pub(super) fn for_url(secrets: &Secrets, url: &str) -> Result<Option<String>, StepError> {
    let Some(host) = host(url) else { return Ok(None) };
    for host in with_and_without_port(host) {
        if let Some(header) = secrets.line(&format!("HTTP_AUTH_HEADER_{host}"))? {
            return Ok(Some(header));
        }
        if let Some(token) = secrets.line(&format!("HTTP_AUTH_TOKEN_{host}"))? {
            return Ok(Some(format!("Bearer {token}")));
        }
    }
    Ok(None)
}

/// The `Authorization` for a git repository: of the secrets `GIT_AUTH_HEADER` and `GIT_AUTH_TOKEN`
/// the first that is there; with `.HOST` behind them they are for that host and come first (BuildKit
/// `source/git`).
pub(super) fn for_repository(secrets: &Secrets, url: &str) -> Result<Option<String>, StepError> {
    let Some(host) = host(url).filter(|_| url.starts_with("http")) else { return Ok(None) };
    let mut ends: Vec<String> =
        with_and_without_port(host).map(|host| format!(".{host}")).collect();
    ends.push(String::new());
    for end in ends {
        if let Some(header) = secrets.line(&format!("GIT_AUTH_HEADER{end}"))? {
            return Ok(Some(header));
        }
        if let Some(token) = secrets.line(&format!("GIT_AUTH_TOKEN{end}"))? {
            return Ok(Some(basic_authorization("x-access-token", &token)));
        }
    }
    Ok(None)
}

/// Host and port as they are written.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit('@').next().filter(|host| !host.is_empty())
}

fn with_and_without_port(host: &str) -> impl Iterator<Item = &str> {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let bare = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map(|(name, _)| name);
    std::iter::once(host).chain(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Secret, SecretSource};

    fn secrets(values: &[(&str, &str)]) -> Secrets {
        let secret = |(id, value): &(&str, &str)| Secret {
            id: (*id).to_owned(),
            source: SecretSource::Value(value.as_bytes().to_vec()),
        };
        Secrets::new(&values.iter().map(secret).collect::<Vec<_>>())
    }

    #[test]
    fn files() {
        let secrets = secrets(&[
            ("HTTP_AUTH_TOKEN_a.example", "t\n"),
            ("HTTP_AUTH_HEADER_b.example:81", "Basic x"),
            ("HTTP_AUTH_TOKEN_b.example", "other"),
        ]);
        let check = |url: &str, expect: Option<&str>| {
            assert_eq!(for_url(&secrets, url).unwrap().as_deref(), expect, "{url}");
        };
        check("https://a.example/x", Some("Bearer t"));
        check("https://user@a.example:444?x", Some("Bearer t"));
        check("http://b.example:81/x", Some("Basic x"));
        check("http://b.example/x", Some("Bearer other"));
        check("http://c.example/a.example", None);
        check("http://xa.example/", None);
    }

    #[test]
    fn repositories() {
        let secrets = secrets(&[
            ("GIT_AUTH_TOKEN", "everywhere"),
            ("GIT_AUTH_TOKEN.a.example", "a"),
            ("GIT_AUTH_HEADER.b.example", "Bearer b"),
        ]);
        let basic = |token| basic_authorization("x-access-token", token);
        let check = |url: &str, expect: Option<String>| {
            assert_eq!(for_repository(&secrets, url).unwrap(), expect, "{url}");
        };
        check("https://a.example/x.git", Some(basic("a")));
        check("https://b.example/x.git", Some("Bearer b".to_owned()));
        check("https://c.example/x.git", Some(basic("everywhere")));
        check("ssh://git@a.example/x.git", None);
        check("git@a.example:x.git", None);
    }
}
