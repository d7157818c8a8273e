//! What steps get of the caller's own: secrets and ssh agents.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use dfbuild::{Secret, SecretSource, SshAgent};

use crate::args::{SecretFlag, SecretOrigin, SshFlag, USE_AN_AGENT};

/// What to do when there is no agent to forward.
const START_AN_AGENT: &str = "SSH_AUTH_SOCK is not set; start an agent with `eval $(ssh-agent)` and `ssh-add`, or name the \
     socket of one: --ssh ID=SOCKET";

/// A secret as a flag names it. `notices` takes what people should know of it.
pub(crate) fn secret(
    flag: &SecretFlag,
    environment: &dyn Fn(&str) -> Option<String>,
    notices: &mut Vec<String>,
) -> Result<Secret, String> {
    let id = flag.id.clone();
    let source = match &flag.origin {
        SecretOrigin::File(path) => secret_file(&id, path)?,
        SecretOrigin::Environment(name) => environment(name).map_or_else(
            || {
                notices.push(format!(
                    "secret {id} is empty: the environment variable {name} is not set"
                ));
                SecretSource::Unset
            },
            |value| SecretSource::Value(value.into_bytes()),
        ),
        SecretOrigin::ById => match environment(&id) {
            Some(value) => SecretSource::Value(value.into_bytes()),
            None if !Path::new(&id).exists() => {
                return Err(format!(
                    "secret {id}: there is neither an environment variable nor a file {id}; \
                     --secret id={id},src=FILE or id={id},env=NAME says where it is"
                ));
            }
            None => secret_file(&id, Path::new(&id))?,
        },
    };
    Ok(Secret { id, source })
}

fn secret_file(id: &str, path: &Path) -> Result<SecretSource, String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            Err(format!("secret {id}: {} is a folder", path.display()))
        }
        Ok(_) => Ok(SecretSource::File(path.to_owned())),
        Err(error) => Err(format!("secret {id}: {}: {error}", path.display())),
    }
}

/// An ssh agent as a flag names it.
pub(crate) fn agent(
    flag: &SshFlag,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<SshAgent, String> {
    let error = |text: String| format!("ssh agent {}: {text}", flag.id);
    let from_environment = || environment("SSH_AUTH_SOCK").filter(|path| !path.is_empty());
    let socket = flag.path.clone().or_else(|| from_environment().map(PathBuf::from));
    let socket = socket.ok_or_else(|| error(START_AN_AGENT.to_owned()))?;
    let metadata = fs::metadata(&socket);
    let metadata = metadata.map_err(|e| error(format!("{}: {e}", socket.display())))?;
    if !metadata.file_type().is_socket() {
        let path = socket.display();
        return Err(error(format!("{path} is no socket; if it holds keys, {USE_AN_AGENT}")));
    }
    Ok(SshAgent { id: flag.id.clone(), socket })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(id: &str, origin: SecretOrigin) -> Result<(SecretSource, Vec<String>), String> {
        let environment = |name: &str| (name == "TOKEN").then(|| "hunter2".to_owned());
        let mut notices = Vec::new();
        let flag = SecretFlag { id: id.to_owned(), origin };
        let found = secret(&flag, &environment, &mut notices)?;
        Ok((found.source, notices))
    }

    #[test]
    fn secrets_are_looked_up() {
        let is_value = |it: SecretSource| matches!(it, SecretSource::Value(it) if it == b"hunter2");
        let variable = |name: &str| SecretOrigin::Environment(name.to_owned());
        assert!(is_value(looked_up("a", variable("TOKEN")).unwrap().0));
        assert!(is_value(looked_up("TOKEN", SecretOrigin::ById).unwrap().0));
        let (unset, notices) = looked_up("a", variable("UNSET")).unwrap();
        assert!(matches!(unset, SecretSource::Unset) && notices.len() == 1, "{notices:?}");
        let missing = looked_up("a", SecretOrigin::File("/nonexistent/file".into())).unwrap_err();
        assert!(missing.starts_with("secret a: /nonexistent/file: No such file"), "{missing}");
    }

    #[test]
    fn agents() {
        let of = |id: &str, path: Option<&str>| {
            let flag = SshFlag { id: id.to_owned(), path: path.map(PathBuf::from) };
            agent(&flag, &|_| None).unwrap_err()
        };
        assert_eq!(of("default", None), format!("ssh agent default: {START_AN_AGENT}"));
        let key = of("a", Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")));
        assert!(key.contains("is no socket") && key.contains("ssh-add"), "{key}");
    }
}
