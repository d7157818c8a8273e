use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An operating system and processor, written `os/architecture[/variant]` in Go's names, as
/// `linux/arm64/v8` (OCI image-spec, image-index.md, "platform").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux` for every image this builder can run.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, …; empty where the architecture has none.
    pub variant: String,
}

impl Platform {
    /// Whether both are of one system and one processor, whatever the variant.
    ///
    /// ```
    /// use dfbuild_image::Platform;
    ///
    /// let of = |name: &str| name.parse::<Platform>().unwrap();
    /// assert!(of("linux/arm/v6").is_close(&of("linux/arm/v7")));
    /// assert!(!of("linux/arm/v7").is_close(&of("linux/arm64")));
    /// ```
    pub fn is_close(&self, other: &Self) -> bool {
        (&self.os, &self.architecture) == (&other.os, &other.architecture)
    }

    /// The platform of the machine this program was compiled for.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            other => other,
        };
        Self::normalised("linux", architecture, "")
    }

    /// The platform with containerd's short forms applied: `x86_64` is `amd64`, `aarch64` is
    /// `arm64`, `arm64/v8` is `arm64`, `arm` is `arm/v7` (`platforms.Normalize`).
    pub fn normalised(os: &str, architecture: &str, variant: &str) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let (architecture, variant) =
            (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") | ("x86_64" | "x86-64", "") => ("amd64", ""),
            ("x86_64" | "x86-64", other) => ("amd64", other),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0") | ("aarch64", "") => ("arm64", ""),
            ("aarch64", other) => ("arm64", other),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            (architecture, variant) => (architecture, variant),
        };
        Self { os, architecture: architecture.to_owned(), variant: variant.to_owned() }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

/// Text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform `{text}`: expected `os/architecture[/variant]`, as in `linux/arm64`")]
pub struct ParsePlatformError {
    /// The text that was given.
    pub text: String,
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    /// One part alone is an operating system if it is a known one, else an architecture on Linux
    /// (containerd `platforms.Parse`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        if !parts.iter().all(|part| plain(part)) {
            return Err(ParsePlatformError { text: text.to_owned() });
        }
        match parts[..] {
            ["local"] => Ok(Self::host()),
            [os @ ("linux" | "windows" | "darwin" | "freebsd" | "macos")] => {
                Ok(Self { os: os.to_owned(), ..Self::host() })
            }
            [architecture] => Ok(Self::normalised("linux", architecture, "")),
            [os, architecture] => Ok(Self::normalised(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::normalised(os, architecture, variant)),
            _ => Err(ParsePlatformError { text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms() {
        for (given, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("arm64", "linux/arm64"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(given.parse::<Platform>().unwrap().to_string(), shown);
        }
        for bad in ["", "a/b/c/d", "linux/", "linux/am d"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
