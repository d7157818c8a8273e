//! Git references as `ADD` and build contexts take them.

use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::char;
use nom::sequence::terminated;
use nom::{IResult, Parser};

use crate::build::mount::parse_bool;
use crate::quote::quote;

/// A git reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitRef {
    /// The repository for git's command line.
    pub remote: String,
    /// The name of the repository's folder.
    pub short_name: String,
    /// A commit, tag or branch; empty for the default branch.
    pub reference: String,
    /// The commit the reference must be.
    pub checksum: String,
    /// A folder inside the repository.
    pub sub_dir: String,
    /// Looks just like a local path, `github.com/a/b`: only for build contexts.
    pub indistinguishable_from_local: bool,
    /// Needs a connection that is not encrypted.
    pub unencrypted_tcp: bool,
    /// `keep-git-dir`, if given.
    pub keep_git_dir: Option<bool>,
    /// `submodules`, if given.
    pub submodules: Option<bool>,
    /// `mtime`, if given: `checkout` or `commit`.
    pub mtime: String,
    /// `fetch-by-commit`.
    pub fetch_by_commit: bool,
}

/// A git reference with parts that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GitRefError {
    /// The text, in the words of the reference implementation.
    pub message: String,
}

/// Reads a git reference; `None` if it is not one but a path or a URL of something else.
///
/// Forms: `https://host/x.git`, `git://host/x`, `ssh://host/x` and `user@host:x`, each with `?key=value` and
/// `#ref:folder` behind it, and, for build contexts only, `github.com/x/y`.
pub fn parse(reference: &str) -> Result<Option<GitRef>, GitRefError> {
    let Some(url) = Url::read(reference) else { return Ok(None) };
    let mut found = GitRef {
        indistinguishable_from_local: url.scheme.is_empty(),
        unencrypted_tcp: matches!(url.scheme.as_str(), "http" | "git"),
        ..GitRef::default()
    };
    let name = url.remote.rsplit('/').next().unwrap_or_default();
    name.strip_suffix(".git").unwrap_or(name).clone_into(&mut found.short_name);
    found.remote = url.remote;
    let (name, folder) = url.fragment.split_once(':').unwrap_or((&url.fragment, ""));
    name.clone_into(&mut found.reference);
    folder.clone_into(&mut found.sub_dir);
    found.read_query(&url.query).map_err(|message| GitRefError { message })?;
    Ok(Some(found))
}

/// The reference in its normal form, `remote#ref:folder`, with or without the folder; `None` if it is no git reference.
pub fn fragment_form(reference: &str, with_folder: bool) -> Option<String> {
    let found = parse(reference).ok()??;
    let folder = if with_folder { found.sub_dir.trim_start_matches('/') } else { "" };
    let mut form = found.remote;
    if !found.reference.is_empty() || !folder.is_empty() {
        form.push('#');
        form.push_str(&found.reference);
    }
    if !folder.is_empty() {
        form.push(':');
        form.push_str(folder);
    }
    Some(form)
}

/// A URL cut into what matters here.
#[derive(Debug)]
struct Url {
    /// In lower case; empty for `github.com/x/y`.
    scheme: String,
    /// Everything before the query.
    remote: String,
    query: Vec<(String, String)>,
    fragment: String,
}

impl Url {
    fn read(reference: &str) -> Option<Self> {
        let (rest, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let fragment = percent_decode(fragment)?;
        let query = read_query(query)?;
        if rest.starts_with("github.com/") {
            return Some(Self { scheme: String::new(), remote: rest.to_owned(), query, fragment });
        }
        if let Ok((location, scheme)) = scheme(rest) {
            let scheme = scheme.to_ascii_lowercase();
            let is_git = match scheme.as_str() {
                // These could be anything; git is what ends like it.
                "http" | "https" => location
                    .split_once('/')
                    .is_some_and(|(_, path)| path.as_bytes().ends_with(b".git")),
                "ssh" | "git" => true,
                _ => false,
            };
            let remote = format!("{scheme}://{location}");
            return if is_git { Some(Self { scheme, remote, query, fragment }) } else { None };
        }
        scp_like(rest).ok()?;
        Some(Self { scheme: "ssh".to_owned(), remote: rest.to_owned(), query, fragment })
    }
}

fn scheme(input: &str) -> IResult<&str, &str> {
    terminated(take_while1(|it: char| it.is_ascii_alphanumeric()), tag("://")).parse(input)
}

/// `user@host:path`.
fn scp_like(input: &str) -> IResult<&str, (&str, &str)> {
    let user = take_while1(|it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_'));
    let host = take_while1(|it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.'));
    (terminated(user, char('@')), terminated(host, char(':'))).parse(input)
}

fn read_query(query: &str) -> Option<Vec<(String, String)>> {
    let pair = |text: &str| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        Some((percent_decode(&key.replace('+', " "))?, percent_decode(&value.replace('+', " "))?))
    };
    query.split('&').filter(|it| !it.is_empty()).map(pair).collect()
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

impl GitRef {
    fn read_query(&mut self, query: &[(String, String)]) -> Result<(), String> {
        let mut tag = None;
        let mut branch = None;
        for (index, (key, value)) in query.iter().enumerate() {
            if query[..index].iter().any(|(earlier, _)| earlier == key) {
                return Err(format!("query {} has multiple values", quote(key)));
            }
            let is_switch =
                matches!(key.as_str(), "submodules" | "keep-git-dir" | "fetch-by-commit");
            if value.is_empty() && !is_switch {
                return Err(format!("query {} has no value", quote(key)));
            }
            match key.as_str() {
                "ref" => set_once("ref", &mut self.reference, value)?,
                "tag" => tag = Some(with_prefix("refs/tags/", value)),
                "branch" => branch = Some(with_prefix("refs/heads/", value)),
                "subdir" => set_once("subdir", &mut self.sub_dir, value)?,
                "checksum" | "commit" => self.checksum.clone_from(value),
                "keep-git-dir" => self.keep_git_dir = Some(switch(key, value)?),
                "submodules" => self.submodules = Some(switch(key, value)?),
                "fetch-by-commit" => self.fetch_by_commit = switch(key, value)?,
                "mtime" if matches!(value.as_str(), "checkout" | "commit") => {
                    self.mtime.clone_from(value);
                }
                "mtime" => return Err(format!("invalid mtime value: {}", quote(value))),
                _ => return Err(format!("unexpected query {}", quote(key))),
            }
        }
        if tag.is_some() && branch.is_some() {
            return Err("branch conflicts with tag".to_owned());
        }
        if let Some(name) = tag.or(branch) {
            set_once("ref", &mut self.reference, &name)?;
        }
        if self.reference.is_empty() {
            self.reference.clone_from(&self.checksum);
        }
        Ok(())
    }
}

fn set_once(what: &str, place: &mut String, value: &str) -> Result<(), String> {
    if !place.is_empty() && place != value {
        return Err(format!("{what} conflicts: {} vs {}", quote(place), quote(value)));
    }
    value.clone_into(place);
    Ok(())
}

fn with_prefix(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

fn switch(key: &str, value: &str) -> Result<bool, String> {
    if value.is_empty() {
        return Ok(true);
    }
    parse_bool(value).ok_or_else(|| format!("invalid {key} value: {}", quote(value)))
}

#[cfg(test)]
mod tests {
    use super::{GitRef, fragment_form, parse};

    fn git(reference: &str) -> GitRef {
        parse(reference).unwrap().unwrap_or_else(|| panic!("{reference} should be a git reference"))
    }

    #[test]
    fn addresses_are_told_from_paths() {
        for reference in [
            "./x.git",
            "../x.git",
            "x.git",
            "https://host/x",
            "ftp://host/x.git",
            "host/x.git",
            "https://host.git",
        ] {
            assert_eq!(parse(reference), Ok(None), "{reference}");
        }
        assert_eq!(git("HTTPS://host/a/x.git").remote, "https://host/a/x.git");
        assert_eq!(git("ssh://git@host/a/x").short_name, "x");
        assert_eq!(git("me@host:a/x.git").short_name, "x");
        assert!(git("git://host/x").unencrypted_tcp);
        assert!(git("github.com/a/b").indistinguishable_from_local);
    }

    #[test]
    fn fragments_and_queries_name_the_rest() {
        let found = git("https://host/x.git#feature/a:dir/b");
        assert_eq!((found.reference.as_str(), found.sub_dir.as_str()), ("feature/a", "dir/b"));
        let found = git("https://host/x.git?tag=v1&subdir=/d&keep-git-dir&submodules=0");
        assert_eq!((found.reference.as_str(), found.sub_dir.as_str()), ("refs/tags/v1", "/d"));
        assert_eq!((found.keep_git_dir, found.submodules), (Some(true), Some(false)));
        assert_eq!(git("https://host/x.git?commit=abc").reference, "abc");
    }

    #[test]
    fn contradictions_are_errors() {
        let table = [
            ("https://host/x.git?ref=a#b", "ref conflicts: \"b\" vs \"a\""),
            ("https://host/x.git?ref=", "query \"ref\" has no value"),
            ("https://host/x.git?ref=a&ref=a", "query \"ref\" has multiple values"),
            ("https://host/x.git?foo=1", "unexpected query \"foo\""),
            ("https://host/x.git?submodules=x", "invalid submodules value: \"x\""),
        ];
        for (reference, expect) in table {
            assert_eq!(parse(reference).unwrap_err().message, expect);
        }
    }

    #[test]
    fn the_normal_form_has_a_fragment() {
        let reference = "https://host/x.git?subdir=/d&branch=b";
        assert_eq!(
            fragment_form(reference, false).as_deref(),
            Some("https://host/x.git#refs/heads/b")
        );
        assert_eq!(
            fragment_form(reference, true).as_deref(),
            Some("https://host/x.git#refs/heads/b:d")
        );
        assert_eq!(
            fragment_form("https://host/x.git#:d", true).as_deref(),
            Some("https://host/x.git#:d")
        );
        assert_eq!(fragment_form("x", true), None);
    }
}
