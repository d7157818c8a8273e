//! Values that flags of several commands take.

use clap::ValueEnum;
use dfbuild::dockerfile::suggest;
use dfbuild::{Platform, Reference, SnapshotterChoice};

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressArg {
    /// `tty` on a terminal, else `plain`.
    Auto,
    /// Line after line, for logs.
    Plain,
    /// The words of Docker's builder before BuildKit, on standard output.
    Classic,
    /// A live view.
    Tty,
    /// Nothing but the image id and errors. `none` is buildx's word in BUILDKIT_PROGRESS.
    #[value(alias = "none")]
    Quiet,
    /// One JSON object a line.
    Rawjson,
}

/// What happens if a secret is found in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SecretLeakArg {
    /// The build fails.
    Error,
    /// It is told.
    Warn,
    /// Nobody looks.
    Off,
}

/// How commands get their root file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SnapshotterArg {
    /// `overlay` where the kernel has it, else `copy`.
    Auto,
    /// Over overlays.
    Overlay,
    /// In copies.
    Copy,
}

impl From<SnapshotterArg> for SnapshotterChoice {
    fn from(arg: SnapshotterArg) -> Self {
        match arg {
            SnapshotterArg::Auto => Self::Auto,
            SnapshotterArg::Overlay => Self::Overlay,
            SnapshotterArg::Copy => Self::Copy,
        }
    }
}

/// Which network commands have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkArg {
    /// This machine's. Nothing here has a bridge, which is docker's word for the default.
    #[value(alias = "bridge")]
    Default,
    None,
    /// This machine's, which is the default here.
    Host,
}

pub(super) fn parse_platform(value: &str) -> Result<Platform, String> {
    /// What Go calls processors, and what they are called elsewhere.
    const ARCHITECTURES: [&str; 23] = [
        "386", "aarch64", "amd64", "arm", "arm64", "armhf", "i386", "loong64", "mips64le",
        "ppc64le", "riscv64", "s390x", "wasm", "x86_64", "x86-64", "armel", "mips", "mipsle",
        "mips64", "ppc64", "riscv", "sparc64", "unknown",
    ];
    if value.contains(',') {
        return Err("give one platform".to_owned());
    }
    let os_alone = ["linux", "windows", "darwin", "freebsd", "macos", "local"].contains(&value);
    let architecture = value.split('/').nth(1).unwrap_or(value);
    if !os_alone && !ARCHITECTURES.contains(&&*architecture.to_ascii_lowercase()) {
        let instead = match suggest::closest(architecture, ARCHITECTURES) {
            Some(close) if value.contains('/') => format!("did you mean {close}?"),
            _ => "write OS/ARCH, as linux/arm64".to_owned(),
        };
        return Err(format!("`{architecture}` is no processor known here; {instead}"));
    }
    value.parse().map_err(|error: <Platform as std::str::FromStr>::Err| error.to_string())
}

/// Whether `false`, `true`, `mode=max` or `type=sbom,disabled=true` asks for an attestation.
pub(super) fn parse_attestation(value: &str) -> Result<bool, String> {
    const KEYS: [&str; 8] =
        ["true", "type", "mode", "generator", "builder-id", "version", "filename", "inline-only"];
    if matches!(value, "false" | "0" | "f" | "F" | "False" | "FALSE") {
        return Ok(false);
    }
    let fields = super::csv::key_values(value)?;
    if let Some((_, disabled)) = fields.iter().find(|(key, _)| key == "disabled") {
        return Ok(!matches!(disabled.as_str(), "" | "true" | "1"));
    }
    let known = |key: &str| KEYS.contains(&key) || key == "1" || key.starts_with("scan-");
    match fields.iter().find(|(key, _)| !known(key)) {
        None => Ok(true),
        Some((key, _)) => Err(format!("unknown attribute `{key}`: it is true, false or mode=max")),
    }
}

/// A name of an image.
pub(super) fn parse_reference(value: &str) -> Result<Reference, String> {
    value.parse().map_err(|error: <Reference as std::str::FromStr>::Err| error.to_string())
}

/// A name, or the beginning of an id, which could be a name by its form.
pub(super) fn parse_image(value: &str) -> Result<String, String> {
    parse_reference(value).map(|_| value.to_owned())
}

/// A name for an image, which cannot have a digest.
pub(super) fn parse_name(value: &str) -> Result<Reference, String> {
    let name = parse_reference(value)?;
    match name.digest {
        Some(_) => Err("an image cannot be given a digest as its name".to_owned()),
        None => Ok(name),
    }
}

/// The same, as it was written.
pub(super) fn parse_tag(value: &str) -> Result<String, String> {
    parse_name(value).map(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attestations() {
        for (value, wanted) in [
            ("false", false),
            ("true", true),
            ("mode=max", true),
            ("true,mode=min", true),
            ("type=provenance,mode=max", true),
            ("type=sbom,generator=a/b", true),
            ("type=provenance,disabled=true", false),
        ] {
            assert_eq!(parse_attestation(value), Ok(wanted), "{value}");
        }
        assert!(parse_attestation("maybe").unwrap_err().contains("unknown attribute `maybe`"));
    }

    #[test]
    fn platforms() {
        assert_eq!(parse_platform("linux/arm64").unwrap().to_string(), "linux/arm64");
        assert!(parse_platform("a/arm/c/d").unwrap_err().contains("os/architecture"));
        assert!(parse_platform("linux/amd46").unwrap_err().contains("did you mean amd64?"));
        assert!(parse_platform("amd46").unwrap_err().contains("write OS/ARCH"));
        assert_eq!(parse_platform("linux/amd64,linux/arm64").unwrap_err(), "give one platform");
    }
}
