use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use crate::{Credential, Credentials, Error, Helpers};

/// The credentials in Docker's `config.json`, whose content the caller read.
///
/// A registry's own helper (`credHelpers`) is asked alone; else the common one (`credsStore`), and
/// what that does not know is looked up in `auths`, as Docker does.
#[derive(Clone, Default)]
pub struct DockerConfig {
    document: Document,
    helpers: Helpers,
}

impl fmt::Debug for DockerConfig {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerConfig")
            .field("auths", &self.document.auths.keys().collect::<Vec<_>>())
            .field("cred_helpers", &self.document.cred_helpers)
            .field("creds_store", &self.document.creds_store)
            .field("helpers", &self.helpers)
            .finish()
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

const DOCKER_HUB: &str = "docker.io";
/// What Docker calls Docker Hub since its first registry.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// Some tools leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl DockerConfig {
    /// Reads the content of a `config.json`; fields that are not about credentials are ignored.
    pub fn parse(json: &[u8], helpers: Helpers) -> Result<Self, Error> {
        let document = serde_json::from_slice(json).map_err(|error| Error::Option {
            what: "Docker configuration",
            reason: error.to_string(),
        })?;
        Ok(Self { document, helpers })
    }
}

impl Credentials for DockerConfig {
    fn get(&self, registry: &str) -> Result<Option<Credential>, Error> {
        let key = if registry == DOCKER_HUB { DOCKER_HUB_KEY } else { registry };
        let own = [key, registry].into_iter().find_map(|name| self.document.cred_helpers.get(name));
        if let Some(helper) = own {
            return self.helpers.get(helper, key);
        }
        if let Some(store) = self.document.creds_store.as_ref().filter(|store| !store.is_empty())
            && let Some(credential) = self.helpers.get(store, key)?
        {
            return Ok(Some(credential));
        }
        let exact = self.document.auths.get(key);
        let same_host = || {
            let mut all = self.document.auths.iter();
            all.find(|(name, _)| host_of(name) == host_of(key)).map(|(_, auth)| auth)
        };
        match exact.or_else(same_host) {
            Some(auth) => credential_in(auth, registry),
            None => Ok(None),
        }
    }
}

/// The host in a key: old ones are addresses, as `https://host/v1/`.
fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

fn credential_in(auth: &Auth, registry: &str) -> Result<Option<Credential>, Error> {
    if !auth.registrytoken.is_empty() {
        return Ok(Some(Credential::Bearer(auth.registrytoken.clone())));
    }
    if !auth.identitytoken.is_empty() {
        return Ok(Some(Credential::Identity(auth.identitytoken.clone())));
    }
    if auth.auth.is_empty() {
        let (user, password) = (auth.username.clone(), auth.password.clone());
        return Ok((!user.is_empty()).then_some(Credential::Basic { user, password }));
    }
    let error = |reason: &str| Error::Credentials {
        registry: registry.to_owned(),
        reason: format!("`auth` in the Docker configuration {reason}"),
    };
    let bytes = BASE64.decode(auth.auth.trim()).map_err(|_| error("is not base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| error("is not text"))?;
    let (user, password) = text.split_once(':').ok_or_else(|| error("has no colon"))?;
    // Old versions of Docker padded the password.
    let password = password.trim_end_matches('\0').to_owned();
    Ok(Some(Credential::Basic { user: user.to_owned(), password }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    fn login(user: &str, password: &str) -> Credential {
        Credential::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn auths() {
        // me:secret, me:a:b, me:secret with NULs
        let json = br#"{
            "auths": {
                "https://index.docker.io/v1/": {"auth": "bWU6c2VjcmV0"},
                "r.example:5000": {"auth": "bWU6YTpi"},
                "https://old.example/v1/": {"auth": "bWU6c2VjcmV0AAAA"},
                "unpadded.example": {"auth": "bWU6YWI"},
                "plain.example": {"username": "u", "password": "p"},
                "identity.example": {"auth": "bWU6", "identitytoken": "idt"},
                "token.example": {"registrytoken": "rt"},
                "empty.example": {},
                "bad.example": {"auth": "%%%"},
                "colon.example": {"auth": "bWU="}
            },
            "HttpHeaders": {"X": "y"}
        }"#;
        let config = DockerConfig::parse(json, Helpers::default()).unwrap();
        for (registry, expect) in [
            ("docker.io", Some(login("me", "secret"))),
            ("r.example:5000", Some(login("me", "a:b"))),
            ("r.example", None),
            ("old.example", Some(login("me", "secret"))),
            ("unpadded.example", Some(login("me", "ab"))),
            ("plain.example", Some(login("u", "p"))),
            ("identity.example", Some(Credential::Identity("idt".to_owned()))),
            ("token.example", Some(Credential::Bearer("rt".to_owned()))),
            ("empty.example", None),
            ("unknown.example", None),
        ] {
            assert_eq!(config.get(registry).unwrap(), expect, "{registry}");
        }
        for registry in ["bad.example", "colon.example"] {
            assert!(config.get(registry).is_err(), "{registry}");
        }
        assert!(!format!("{config:?}").contains("bWU"));
    }

    #[test]
    fn malformed() {
        assert!(DockerConfig::parse(b"{", Helpers::default()).is_err());
        assert!(
            DockerConfig::parse(b"{}", Helpers::default()).unwrap().get("x").unwrap().is_none()
        );
    }

    fn helpers(scripts: &[(&str, &str)], deadline: Duration) -> (tempfile::TempDir, Helpers) {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            let path = folder.path().join(format!("docker-credential-{name}"));
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
        let directories = vec!["/nowhere".into(), folder.path().to_owned()];
        (folder, Helpers { directories, environment, deadline })
    }

    #[test]
    fn helper_programs() {
        let (_folder, helpers) = helpers(
            &[
                (
                    "store",
                    r#"read -r server; echo "{\"Username\":\"u\",\"Secret\":\"$1 $server\"}""#,
                ),
                ("token", r#"echo '{"Username":"<token>","Secret":"idt"}'"#),
                ("none", "echo 'credentials not found in native keychain'; exit 1"),
                ("fails", "echo 'keychain is locked'; exit 1"),
                ("mad", "echo '{'"),
            ],
            Duration::from_secs(30),
        );
        let json = br#"{
            "auths": {"in-auths.example": {"auth": "bWU6c2VjcmV0"}},
            "credsStore": "none",
            "credHelpers": {
                "docker.io": "store", "h.example:1": "store", "t.example": "token",
                "f.example": "fails", "m.example": "mad", "x.example": "missing",
                "e.example": "../evil"
            }
        }"#;
        let config = DockerConfig::parse(json, helpers).unwrap();
        for (registry, expect) in [
            ("docker.io", Some(login("u", "get https://index.docker.io/v1/"))),
            ("h.example:1", Some(login("u", "get h.example:1"))),
            ("t.example", Some(Credential::Identity("idt".to_owned()))),
            ("in-auths.example", Some(login("me", "secret"))),
            ("unknown.example", None),
        ] {
            assert_eq!(config.get(registry).unwrap(), expect, "{registry}");
        }
        for (registry, reason) in [
            ("f.example", "keychain is locked"),
            ("m.example", "malformed answer"),
            ("x.example", "there is no program"),
            ("e.example", "malformed name"),
        ] {
            let error = config.get(registry).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn helper_that_takes_too_long() {
        let (_folder, helpers) =
            helpers(&[("slow", "exec sleep 1000")], Duration::from_millis(100));
        let config = DockerConfig::parse(br#"{"credsStore":"slow"}"#, helpers).unwrap();
        let error = config.get("r.example").unwrap_err().to_string();
        assert!(error.contains("did not answer"), "{error}");
    }
}
