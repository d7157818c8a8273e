//! Names of images, as far as the linter must tell good ones from bad ones (distribution `reference.ParseNormalizedNamed`).

const INVALID: &str = "invalid reference format";
/// The longest repository, host included.
const MAX_NAME: usize = 255;

/// Whether an image can have this name. The error is in the words of the reference implementation.
pub(super) fn check(text: &str) -> Result<(), String> {
    let is_hex = |text: &str| text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() == 64 && is_hex(text) {
        return Err(format!(
            "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        ));
    }
    let (host, remainder) = split_host(text);
    let remote = remainder.split(':').next().unwrap_or_default();
    if remote.to_lowercase() != remote {
        return Err(format!("{INVALID}: repository name ({remote}) must be lowercase"));
    }
    let (rest, digest) = match remainder.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (remainder.as_str(), None),
    };
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    let good = is_host_name(&host)
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    if !good {
        return Err(INVALID.to_owned());
    }
    if host.len() + 1 + path.len() > MAX_NAME {
        return Err(format!("repository name must not be more than {MAX_NAME} characters"));
    }
    if let Some((algorithm, hex)) = digest.and_then(|it| it.split_once(':')) {
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return Err("unsupported digest algorithm".to_owned()),
        };
        if hex.len() != length {
            return Err("invalid checksum digest length".to_owned());
        }
        if !is_hex(hex) {
            return Err(INVALID.to_owned());
        }
    }
    Ok(())
}

/// The registry, and the rest with `library/` for short names of Docker Hub.
fn split_host(text: &str) -> (String, String) {
    const HUB: &str = "docker.io";
    let (host, rest) = match text.split_once('/') {
        Some((host, rest))
            if host.contains(['.', ':']) || host == "localhost" || host.to_lowercase() != host =>
        {
            (host, rest)
        }
        _ => (HUB, text),
    };
    let host = if host == "index.docker.io" { HUB } else { host };
    if host == HUB && !rest.contains('/') {
        return (host.to_owned(), format!("library/{rest}"));
    }
    (host.to_owned(), rest.to_owned())
}

fn is_host_name(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return !address.is_empty()
            && address.bytes().all(|it| it.is_ascii_hexdigit() || it == b':')
            && (port.is_empty() || is_port(port));
    }
    let (name, port) = host.find(':').map_or((host, ""), |at| host.split_at(at));
    name.split('.').all(is_domain_part) && (port.is_empty() || is_port(port))
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
}

fn is_domain_part(part: &str) -> bool {
    let bytes = part.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|it| it.is_ascii_alphanumeric() || *it == b'-')
}

/// Lower-case letters and digits, with single separators `.`, `_`, `__` or any number of `-`.
fn is_component(part: &str) -> bool {
    let is_word = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    part.starts_with(is_word)
        && part.ends_with(is_word)
        && part
            .split(is_word)
            .all(|it| matches!(it, "" | "." | "_" | "__") || it.bytes().all(|it| it == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
    (1..=128).contains(&tag.len())
        && tag.starts_with(is_word)
        && tag.chars().all(|it| is_word(it) || it == '.' || it == '-')
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.split(['-', '_', '+', '.']).all(|part| {
            part.starts_with(|it: char| it.is_ascii_alphabetic())
                && part.bytes().all(|it| it.is_ascii_alphanumeric())
        }) && hex.len() >= 32
            && hex.bytes().all(|it| it.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names() {
        for name in
            ["a", "a/b:1", "localhost/x", "h:5000/a/b_c__d-e--f.g:T_1", "Host.x/a", "[::1]:80/a"]
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        assert_eq!(check(&format!("a:1@sha256:{}", "0".repeat(64))), Ok(()));
    }

    #[test]
    fn other_text() {
        for name in ["", "a:", "a b", "a/", "-a", "a@", "a@x", "$x", "a._b", "h..x/a", "a:b:c"] {
            assert_eq!(check(name), Err("invalid reference format".to_owned()), "{name}");
        }
        assert_eq!(
            check("Foo"),
            Err("invalid reference format: repository name (library/Foo) must be lowercase"
                .to_owned())
        );
        assert!(check(&"0".repeat(64)).is_err());
    }
}
