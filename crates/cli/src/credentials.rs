//! Where the passwords and tokens of registries are: wherever another tool has put them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dfbuild::remote::{Credential, Credentials, DockerConfig, Error, Helpers};

use crate::docker_config;

/// Several files of one form; the first that knows a registry counts.
#[derive(Debug)]
pub(crate) struct Files(Vec<DockerConfig>);

impl Credentials for Files {
    fn get(&self, registry: &str) -> Result<Option<Credential>, Error> {
        let mut found = self.0.iter().map(|file| file.get(registry));
        found.find_map(Result::transpose).transpose()
    }
}

/// What this machine knows: `DOCKER_AUTH_CONFIG`, which is the content of such a file (GitLab sets it, Docker 28.3 reads
/// it); `REGISTRY_AUTH_FILE`, which names one (skopeo, buildah, podman); Docker's own in `DOCKER_CONFIG`, else
/// in `~/.docker`; and what `podman login` writes.
pub(crate) fn of_this_machine() -> Result<Files, String> {
    let directories = env::var_os("PATH").map(|path| env::split_paths(&path).collect());
    let helpers = Helpers {
        directories: directories.unwrap_or_default(),
        environment: env::vars_os().collect(),
        ..Helpers::default()
    };
    from(&|name| env::var_os(name).filter(|value| !value.is_empty()), &helpers)
}

fn from(
    environment: &dyn Fn(&str) -> Option<OsString>,
    helpers: &Helpers,
) -> Result<Files, String> {
    let folder = |name: &str| environment(name).map(PathBuf::from);
    let paths = [
        folder("REGISTRY_AUTH_FILE"),
        docker_config::path(&folder),
        folder("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
    ];
    let parse = |json: &[u8], from: &str| {
        let parsed = DockerConfig::parse(json, helpers.clone());
        parsed.map_err(|error| format!("read {from}: {error}"))
    };
    let mut files = Vec::new();
    if let Some(json) = environment("DOCKER_AUTH_CONFIG") {
        files.push(parse(json.as_encoded_bytes(), "DOCKER_AUTH_CONFIG")?);
    }
    for path in paths.iter().flatten() {
        if let Some(json) = read(path)? {
            files.push(parse(&json, &path.display().to_string())?);
        }
    }
    Ok(Files(files))
}

/// The content of a file; nothing if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match fs::read(path) {
        Ok(json) => Ok(Some(json)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("read {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with a token for each registry.
    fn file(tokens: &[(&str, &str)]) -> String {
        let auths = tokens.iter().map(|(registry, token)| {
            (registry.to_string(), serde_json::json!({ "registrytoken": token }))
        });
        let auths = auths.collect::<serde_json::Map<_, _>>();
        serde_json::json!({ "auths": auths }).to_string()
    }

    fn token(files: &Files, registry: &str) -> Option<String> {
        match files.get(registry).unwrap()? {
            Credential::Bearer(token) => Some(token),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_that_knows_a_registry_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("containers")).unwrap();
        fs::write(path("config.json"), file(&[("a", "docker"), ("b", "docker")])).unwrap();
        fs::write(path("auth.json"), file(&[("a", "named")])).unwrap();
        fs::write(path("containers/auth.json"), file(&[("b", "podman"), ("c", "podman")])).unwrap();
        let given = file(&[("d", "given")]);
        let environment = |names: &'static [&'static str]| {
            let (folder, given) = (folder.path().to_owned(), given.clone());
            move |name: &str| {
                let value = match name {
                    "DOCKER_AUTH_CONFIG" => given.clone().into(),
                    "REGISTRY_AUTH_FILE" => folder.join("auth.json").into_os_string(),
                    _ => folder.clone().into_os_string(),
                };
                names.contains(&name).then_some(value)
            }
        };
        let all: &[&str] =
            &["DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"];
        let check = |names, expect: [Option<&str>; 5]| {
            let files = from(&environment(names), &Helpers::default()).unwrap();
            let found = ["a", "b", "c", "d", "e"].map(|registry| token(&files, registry));
            assert_eq!(found.each_ref().map(Option::as_deref), expect, "{names:?}");
        };
        check(all, [Some("named"), Some("docker"), Some("podman"), Some("given"), None]);
        check(&["DOCKER_CONFIG"], [Some("docker"), Some("docker"), None, None, None]);
        check(&["HOME"], [None; 5]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let environment = |name: &str| (name == "DOCKER_AUTH_CONFIG").then(|| "{".into());
        let error = from(&environment, &Helpers::default()).unwrap_err();
        assert!(error.starts_with("read DOCKER_AUTH_CONFIG: "), "{error}");
    }
}
