use std::path::PathBuf;

use super::csv;

/// A `--secret`, before anything is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretFlag {
    pub(crate) id: String,
    pub(crate) origin: SecretOrigin,
}

/// Where the value of a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretOrigin {
    File(PathBuf),
    Environment(String),
    /// Only the id was given: an environment variable of this name, else a file.
    ById,
}

/// Reads `id=…[,src=FILE|,source=FILE|,env=NAME][,type=file|env]`.
pub(crate) fn parse(text: &str) -> Result<SecretFlag, String> {
    let (mut id, mut source, mut env, mut kind) = (None, None, None, None);
    for (key, value) in csv::key_values(text)? {
        let slot = match key.as_str() {
            "id" => &mut id,
            "src" | "source" => &mut source,
            "env" => &mut env,
            "type" => &mut kind,
            // The value is left out: somebody may have written the secret itself.
            _ if !text.contains('=') => {
                return Err("write `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`".to_owned());
            }
            _ => return Err(format!("unexpected key `{key}`: there are id, src, env and type")),
        };
        *slot = Some(value);
    }
    let id = id.filter(|id| !id.is_empty()).ok_or("`id=…` is missing")?;
    let origin = match (kind.as_deref(), source, env) {
        (Some("env"), Some(name), None) | (None | Some("env"), None, Some(name)) => {
            SecretOrigin::Environment(name)
        }
        (None | Some("file"), Some(path), None) => SecretOrigin::File(path.into()),
        (None, None, None) => SecretOrigin::ById,
        (Some("env"), None, None) => SecretOrigin::Environment(id.clone()),
        (Some("file"), None, None) => SecretOrigin::File(id.clone().into()),
        (Some(kind), ..) if kind != "env" && kind != "file" => {
            return Err(format!("unknown type `{kind}`: there are file and env"));
        }
        _ => return Err("give either `src=FILE` or `env=NAME`".to_owned()),
    };
    Ok(SecretFlag { id, origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let file = |path: &str| SecretOrigin::File(path.into());
        let env = |name: &str| SecretOrigin::Environment(name.into());
        for (given, origin) in [
            ("id=a,src=/f", file("/f")),
            ("id=a,source=f=g", file("f=g")),
            ("type=file,id=a,src=/f", file("/f")),
            ("\"id=a\",\"src=/f,g\"", file("/f,g")),
            ("id=a,env=TOKEN", env("TOKEN")),
            ("id=a,type=env,env=TOKEN", env("TOKEN")),
            ("type=env,id=a,src=TOKEN", env("TOKEN")),
            ("type=env,id=a", env("a")),
            ("id=a", SecretOrigin::ById),
        ] {
            assert_eq!(parse(given), Ok(SecretFlag { id: "a".into(), origin }), "{given}");
        }
        for bad in ["src=/f", "id=", "id=a,src=/f,env=B", "id=a,type=x", "id=a,value=b", "a"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("a").unwrap_err().contains("id=NAME,src=FILE"));
        assert!(!parse("id=a,hunter2=hunter3").unwrap_err().contains("hunter3"));
    }
}
