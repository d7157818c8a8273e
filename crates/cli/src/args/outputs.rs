use std::path::PathBuf;

use dfbuild::Compression;

use super::annotation::{self, Annotations};
use super::csv;
use super::values::parse_tag;

/// An `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an attribute of the flag")]
pub(crate) struct OutputFlag {
    pub(crate) kind: FlagKind,
    pub(crate) destination: Destination,
    /// Further names for the image, from `name=…`.
    pub(crate) names: Vec<String>,
    /// Whether it goes to the registries of its names.
    pub(crate) push: bool,
    /// Without tags there.
    pub(crate) push_by_digest: bool,
    pub(crate) annotations: Vec<Annotations>,
    pub(crate) compression: Compression,
    pub(crate) rewrite_timestamp: bool,
    pub(crate) platform_split: bool,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlagKind {
    Oci,
    /// An OCI layout that is no archive (`tar=false`).
    OciFolder,
    Docker,
    Local,
    Tar,
    /// Nothing but the image in the store, which is there with every output.
    Image,
    /// The image goes to the Docker or podman of this machine: `type=docker` without a file.
    Daemon,
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Nowhere: it is not written to a file.
    None,
    Path(PathBuf),
    /// Standard output; the image id goes nowhere else then.
    Stdout,
}

const TYPES: &str = "there are oci, docker, local, tar, image, registry and cacheonly";

/// Reads `type=…,dest=…`. A value that is only a path is a folder for the root file system, and
/// `-` its archive on standard output, as docker has it.
pub(crate) fn parse(text: &str) -> Result<OutputFlag, String> {
    if !text.contains(['=', ',']) && !text.is_empty() {
        return Ok(match text {
            "-" => flag(FlagKind::Tar, Destination::Stdout),
            _ => flag(FlagKind::Local, Destination::Path(text.into())),
        });
    }
    let (mut kind, mut dest) = (None, None);
    let mut output = flag(FlagKind::Image, Destination::None);
    let (mut level, mut folder) = (None, false);
    for (key, value) in csv::key_values(text)? {
        match key.as_str() {
            "type" if value == "registry" => {
                output.push = true;
                kind = Some(FlagKind::Image);
            }
            "type" => kind = Some(parse_kind(&value)?),
            "dest" => dest = Some(value),
            "name" => {
                for name in value.split(',') {
                    output.names.push(parse_tag(name)?);
                }
            }
            "push" => output.push = boolean(&key, &value)?,
            "push-by-digest" => output.push_by_digest = boolean(&key, &value)?,
            "tar" => folder = !boolean(&key, &value)?,
            "rewrite-timestamp" => output.rewrite_timestamp = boolean(&key, &value)?,
            "platform-split" => output.platform_split = boolean(&key, &value)?,
            "compression" => output.compression = parse_compression(&value)?,
            "compression-level" => level = Some(value),
            _ => match annotation_flag(&key, &value) {
                Some(flag) => output.annotations.push(annotation::parse(&flag)?),
                None => check_attribute(&key, &value)?,
            },
        }
    }
    output.kind = kind.ok_or_else(|| format!("`type=…` is missing: {TYPES}"))?;
    if folder && output.kind == FlagKind::Oci {
        output.kind = FlagKind::OciFolder;
    }
    if output.kind == FlagKind::Docker && dest.is_none() {
        output.kind = FlagKind::Daemon;
    }
    output.compression = with_level(output.compression, level.as_deref())?;
    output.destination = destination(&output, dest.as_deref())?;
    Ok(output)
}

fn destination(output: &OutputFlag, dest: Option<&str>) -> Result<Destination, String> {
    Ok(match (output.kind, dest) {
        (FlagKind::Image, None) | (FlagKind::Daemon, _) => Destination::None,
        (FlagKind::Image, Some(_)) => {
            return Err("an image goes into the store: `dest=` is for files".to_owned());
        }
        (_, Some("")) => return Err("`dest=` is empty".to_owned()),
        (FlagKind::Local, Some("-")) => {
            return Err("a folder cannot go to standard output: use type=tar".to_owned());
        }
        (FlagKind::OciFolder, Some("-") | None) | (FlagKind::Local, None) => {
            return Err("`dest=FOLDER` is missing".to_owned());
        }
        (_, Some("-") | None) => Destination::Stdout,
        (_, Some(path)) => Destination::Path(path.into()),
    })
}

fn flag(kind: FlagKind, destination: Destination) -> OutputFlag {
    OutputFlag {
        kind,
        destination,
        names: Vec::new(),
        push: false,
        push_by_digest: false,
        annotations: Vec::new(),
        compression: Compression::default(),
        rewrite_timestamp: false,
        platform_split: true,
    }
}

fn parse_kind(text: &str) -> Result<FlagKind, String> {
    match text {
        "oci" => Ok(FlagKind::Oci),
        "docker" => Ok(FlagKind::Docker),
        "local" => Ok(FlagKind::Local),
        "tar" => Ok(FlagKind::Tar),
        // The image is in the store with every output, and so are the steps.
        "image" | "cacheonly" => Ok(FlagKind::Image),
        _ => Err(format!("unknown type `{text}`: {TYPES}")),
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("`{key}={value}`: it is true or false")),
    }
}

pub(super) fn parse_compression(text: &str) -> Result<Compression, String> {
    match text {
        "gzip" => Ok(Compression::default()),
        "zstd" => Ok(Compression::Zstd { level: 3 }),
        "uncompressed" => Ok(Compression::Uncompressed),
        "estargz" => Err("compression=estargz is not there: gzip, zstd or uncompressed".to_owned()),
        _ => Err(format!("unknown compression `{text}`: there are gzip, zstd and uncompressed")),
    }
}

pub(super) fn with_level(
    compression: Compression,
    level: Option<&str>,
) -> Result<Compression, String> {
    let Some(level) = level else { return Ok(compression) };
    let wrong = |range: &str| format!("`compression-level={level}`: it is {range}");
    match compression {
        Compression::Gzip { .. } => {
            let level = level.parse().ok().filter(|level| (0..=9).contains(level));
            Ok(Compression::Gzip { level: level.ok_or_else(|| wrong("from 0 to 9"))? })
        }
        Compression::Zstd { .. } => {
            let level = level.parse().ok().filter(|level| (1..=22).contains(level));
            Ok(Compression::Zstd { level: level.ok_or_else(|| wrong("from 1 to 22"))? })
        }
        _ => Err("`compression-level` needs compression=gzip or zstd".to_owned()),
    }
}

/// `annotation[-TYPE][[PLATFORM]].KEY` as an `--annotation` has it (BuildKit `exptypes.AnnotationKey`).
fn annotation_flag(key: &str, value: &str) -> Option<String> {
    let (target, name) = key.strip_prefix("annotation")?.split_once('.')?;
    let target = match target.strip_prefix('-') {
        Some(target) => target.to_owned(),
        None if target.is_empty() || target.starts_with('[') => format!("manifest{target}"),
        None => return None,
    };
    Some(format!("{target}:{name}={value}"))
}

/// Attributes that ask for what is done anyway, or that mean something only to a daemon's store of
/// images, are taken. Others are refused: an attribute that changes the image must not be lost silently.
fn check_attribute(key: &str, value: &str) -> Result<(), String> {
    let refused = |wanted: bool, instead: &str| match boolean(key, value)? {
        asked if asked == wanted => Ok(()),
        asked => Err(format!("`{key}={asked}` is not there{instead}")),
    };
    match key {
        "name-canonical" | "unpack" | "store" => boolean(key, value).map(drop),
        "dangling-name-prefix" => Ok(()),
        "mode" if value == "copy" => Ok(()),
        "oci-mediatypes" => refused(true, ": images have OCI's media types"),
        "force-compression" => refused(false, " yet: layers of a base stay as they are"),
        "attestation-inline" => refused(false, ": no attestation is written"),
        "registry.insecure" => refused(false, ": name the registry with --insecure-registry"),
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
            ("type=oci,dest=a.tar", FlagKind::Oci, path("a.tar")),
            ("dest=a.tar,type=oci", FlagKind::Oci, path("a.tar")),
            ("type=oci", FlagKind::Oci, Destination::Stdout),
            ("type=docker,dest=-", FlagKind::Docker, Destination::Stdout),
            ("type=local,dest=out", FlagKind::Local, path("out")),
            ("type=tar,\"dest=a,b\"", FlagKind::Tar, path("a,b")),
            ("type=oci,dest=a,compression=gzip,tar=true", FlagKind::Oci, path("a")),
            ("out", FlagKind::Local, path("out")),
            ("./a/b", FlagKind::Local, path("./a/b")),
            ("-", FlagKind::Tar, Destination::Stdout),
        ] {
            assert_eq!(parse(given), Ok(flag(kind, destination)), "{given}");
        }
        let zstd = parse("type=oci,dest=a,tar=false,compression=zstd,compression-level=9").unwrap();
        assert!(
            zstd.kind == FlagKind::OciFolder && zstd.compression == Compression::Zstd { level: 9 }
        );
        // What Docker documents for one runner for each platform.
        let by_digest =
            parse("type=image,name=a,push-by-digest=true,name-canonical=true,push=true");
        let by_digest = by_digest.unwrap();
        assert!(by_digest.push && by_digest.push_by_digest && by_digest.names == ["a"]);
        let taken = "type=image,oci-mediatypes=true,store=false,unpack=true,\
                     dangling-name-prefix=x,registry.insecure=false,force-compression=false";
        assert_eq!(parse(taken), Ok(flag(FlagKind::Image, Destination::None)));
        assert_eq!(parse("type=local,dest=out,mode=copy"), parse("out"));
        let pushed = parse("type=registry,name=localhost:5000/a").unwrap();
        assert!(pushed.push && pushed.kind == FlagKind::Image);
        let clamped = parse("type=local,dest=a,rewrite-timestamp=true,platform-split=false");
        let clamped = clamped.unwrap();
        assert!(clamped.rewrite_timestamp && !clamped.platform_split);
        let loaded = parse("type=docker").unwrap();
        assert!(loaded.kind == FlagKind::Daemon && loaded.destination == Destination::None);
        let named = parse("type=docker,dest=a,\"name=x,y:1\"").unwrap();
        assert_eq!(named.names, ["x", "y:1"]);
    }

    #[test]
    fn annotations_are_those_of_the_flag() {
        for (attribute, expect) in [
            ("annotation.a.b=c", "a.b=c"),
            ("annotation[linux/arm64].a=b", "manifest[linux/arm64]:a=b"),
            ("annotation-index.a:b=c", "index:a:b=c"),
            (
                "annotation-manifest-descriptor[linux/s390x].a=b",
                "manifest-descriptor[linux/s390x]:a=b",
            ),
        ] {
            let parsed = parse(&format!("type=image,{attribute}")).unwrap();
            assert_eq!(parsed.annotations, [annotation::parse(expect).unwrap()], "{attribute}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (given, part) in [
            ("type=image,dest=x", "goes into the store"),
            ("type=oci,tar=false", "`dest=FOLDER` is missing"),
            ("type=oci,tar=maybe", "true or false"),
            ("type=oci,compression=zstd,compression-level=99", "from 1 to 22"),
            ("type=zip,dest=a", "unknown type `zip`"),
            ("dest=a", "`type=…` is missing"),
            ("type=local", "`dest=FOLDER` is missing"),
            ("type=local,dest=-", "use type=tar"),
            ("type=oci,dest=", "empty"),
            ("type=oci,dest=a,compression=lzma", "unknown compression `lzma`"),
            ("type=oci,dest=a,force-compression=true", "not there yet"),
            ("type=image,oci-mediatypes=false", "`oci-mediatypes=false` is not there: images"),
            ("type=image,registry.insecure=1", "--insecure-registry"),
            ("type=image,annotation-picture.a=b", "unknown type `picture`"),
            ("type=image,annotations.a=b", "unknown attribute `annotations.a`"),
            ("type=local,dest=a,mode=delete", "unknown attribute `mode`"),
            ("type=oci,dest=a,colour=red", "unknown attribute `colour`"),
        ] {
            let error = parse(given).unwrap_err();
            assert!(error.contains(part), "{given}: {error}");
        }
    }
}
