use std::path::PathBuf;

use super::csv;

/// An `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputFlag {
    pub(crate) kind: OutputKind,
    pub(crate) destination: Destination,
    /// Further names for the image, from `name=…`.
    pub(crate) names: Vec<String>,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputKind {
    Oci,
    Docker,
    Local,
    Tar,
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Path(PathBuf),
    /// Standard output; the image id goes nowhere else then.
    Stdout,
}

/// Reads `type=…,dest=…`. A value that is only a path is a folder for the root file system, and
/// `-` its archive on standard output, as docker has it.
pub(crate) fn parse(text: &str) -> Result<OutputFlag, String> {
    if !text.contains(['=', ',']) && !text.is_empty() {
        return Ok(match text {
            "-" => flag(OutputKind::Tar, Destination::Stdout),
            _ => flag(OutputKind::Local, Destination::Path(text.into())),
        });
    }
    let (mut kind, mut dest, mut names) = (None, None, Vec::new());
    for (key, value) in csv::key_values(text)? {
        match key.as_str() {
            "type" => kind = Some(parse_kind(&value)?),
            "dest" => dest = Some(value),
            "name" => names.extend(value.split(',').map(ToOwned::to_owned)),
            _ => check_attribute(&key, &value)?,
        }
    }
    let kind = kind.ok_or("`type=…` is missing: there are oci, docker, local and tar")?;
    let destination = match dest.as_deref() {
        Some("-") if kind == OutputKind::Local => {
            return Err("a folder cannot go to standard output: use type=tar".to_owned());
        }
        Some("-") => Destination::Stdout,
        Some("") => return Err("`dest=` is empty".to_owned()),
        Some(path) => Destination::Path(path.into()),
        None if kind == OutputKind::Local => return Err("`dest=FOLDER` is missing".to_owned()),
        None if kind == OutputKind::Docker => {
            return Err("`dest=FILE` is missing: there is no docker daemon to load into".to_owned());
        }
        None => Destination::Stdout,
    };
    Ok(OutputFlag { kind, destination, names })
}

fn flag(kind: OutputKind, destination: Destination) -> OutputFlag {
    OutputFlag { kind, destination, names: Vec::new() }
}

fn parse_kind(text: &str) -> Result<OutputKind, String> {
    match text {
        "oci" => Ok(OutputKind::Oci),
        "docker" => Ok(OutputKind::Docker),
        "local" => Ok(OutputKind::Local),
        "tar" => Ok(OutputKind::Tar),
        "image" | "registry" => Err(format!(
            "type={text} comes with registries, which are not there yet; -t puts the image into the store"
        )),
        "cacheonly" => Err("type=cacheonly is not there yet".to_owned()),
        _ => Err(format!("unknown type `{text}`: there are oci, docker, local and tar")),
    }
}

/// Attributes that ask for what is done anyway are taken, others are refused: an attribute that
/// changes the image must not be lost silently.
fn check_attribute(key: &str, value: &str) -> Result<(), String> {
    let harmless = matches!(
        (key, value),
        ("tar" | "oci-mediatypes" | "store", "true" | "")
            | ("compression", "gzip")
            | (
                "rewrite-timestamp"
                    | "platform-split"
                    | "force-compression"
                    | "push"
                    | "unpack"
                    | "attestation-inline",
                "false"
            )
    );
    match key {
        _ if harmless => Ok(()),
        "tar" | "compression" | "compression-level" | "force-compression" | "rewrite-timestamp"
        | "oci-mediatypes" | "platform-split" => Err(format!("`{key}={value}` is not there yet")),
        _ => Err(format!("unknown attribute `{key}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_destinations() {
        let path = |path: &str| Destination::Path(path.into());
        for (given, kind, destination) in [
            ("type=oci,dest=a.tar", OutputKind::Oci, path("a.tar")),
            ("dest=a.tar,type=oci", OutputKind::Oci, path("a.tar")),
            ("type=oci", OutputKind::Oci, Destination::Stdout),
            ("type=docker,dest=-", OutputKind::Docker, Destination::Stdout),
            ("type=local,dest=out", OutputKind::Local, path("out")),
            ("type=tar,\"dest=a,b\"", OutputKind::Tar, path("a,b")),
            ("type=oci,dest=a,compression=gzip,tar=true", OutputKind::Oci, path("a")),
            ("out", OutputKind::Local, path("out")),
            ("./a/b", OutputKind::Local, path("./a/b")),
            ("-", OutputKind::Tar, Destination::Stdout),
        ] {
            assert_eq!(parse(given), Ok(flag(kind, destination)), "{given}");
        }
        let named = parse("type=docker,dest=a,\"name=x,y:1\"").unwrap();
        assert_eq!(named.names, ["x", "y:1"]);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (given, part) in [
            ("type=registry", "registries"),
            ("type=image,name=x", "registries"),
            ("type=zip,dest=a", "unknown type `zip`"),
            ("dest=a", "`type=…` is missing"),
            ("type=local", "`dest=FOLDER` is missing"),
            ("type=local,dest=-", "use type=tar"),
            ("type=docker", "no docker daemon"),
            ("type=oci,dest=", "empty"),
            ("type=oci,dest=a,compression=zstd", "`compression=zstd` is not there yet"),
            ("type=oci,dest=a,colour=red", "unknown attribute `colour`"),
        ] {
            let error = parse(given).unwrap_err();
            assert!(error.contains(part), "{given}: {error}");
        }
    }
}
