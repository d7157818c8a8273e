//! What Docker's `config.json` says beside passwords.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    /// By the daemon that they are for; there is none here, so `default` counts.
    proxies: BTreeMap<String, Proxies>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

/// Where it is: in `DOCKER_CONFIG`, else in `~/.docker`.
pub(crate) fn path(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let folder = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

/// The variables that Docker's client hands to builds and containers for `proxies.default`, each in
/// upper and in lower case (docker/cli `configfile.ParseProxyConfig`).
pub(crate) fn proxies(
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, String> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(path) = path(&set) else { return Ok(BTreeMap::new()) };
    let unknown =
        |error: &dyn Display| format!("the proxies in {} are not known: {error}", path.display());
    let mut document: Document = match fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json).map_err(|error| unknown(&error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Document::default(),
        Err(error) => return Err(unknown(&error)),
    };
    let Proxies { http_proxy, https_proxy, no_proxy, ftp_proxy, all_proxy } =
        document.proxies.remove("default").unwrap_or_default();
    let variables = [
        ("http_proxy", http_proxy),
        ("https_proxy", https_proxy),
        ("no_proxy", no_proxy),
        ("ftp_proxy", ftp_proxy),
        ("all_proxy", all_proxy),
    ];
    let variables = variables.into_iter().filter(|(_, value)| !value.is_empty());
    Ok(variables
        .flat_map(|(name, value)| [(name.to_uppercase(), value.clone()), (name.to_owned(), value)])
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(json: &str) -> Result<BTreeMap<String, String>, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), json).unwrap();
        let place = folder.path().to_str().unwrap().to_owned();
        proxies(&move |name| (name == "DOCKER_CONFIG").then(|| place.clone()))
    }

    #[test]
    fn those_of_no_daemon_in_both_cases() {
        let json = r#"{"auths": {}, "proxies": {
            "default": {"httpProxy": "http://p:1", "noProxy": "a,b", "ftpProxy": ""},
            "tcp://elsewhere": {"httpsProxy": "http://q:2"}}}"#;
        let expected = [
            ("HTTP_PROXY", "http://p:1"),
            ("NO_PROXY", "a,b"),
            ("http_proxy", "http://p:1"),
            ("no_proxy", "a,b"),
        ];
        let found = with(json).unwrap();
        let found: Vec<_> =
            found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, expected);
        assert_eq!(with("{}"), Ok(BTreeMap::new()));
    }

    #[test]
    fn a_broken_file_is_named_and_a_missing_one_is_none() {
        let error = with("{").unwrap_err();
        assert!(error.contains("config.json are not known: EOF"), "{error}");
        assert_eq!(proxies(&|_| None), Ok(BTreeMap::new()));
        assert_eq!(proxies(&|_| Some("/nonexistent".to_owned())), Ok(BTreeMap::new()));
    }
}
