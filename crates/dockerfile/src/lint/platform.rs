//! Platforms, as far as the linter must tell good ones from bad ones (containerd `platforms.Parse`).

use crate::quote::quote;

/// A platform in its normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) os: String,
    pub(super) architecture: String,
    pub(super) variant: String,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

const ARCHITECTURES: [&str; 26] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
    "wasm32",
    "wasm64",
];

impl Platform {
    /// Reads `os`, `architecture`, `os/architecture` or `os/architecture/variant`; what is missing comes from `host`.
    pub(super) fn parse(text: &str, host: &Self) -> Result<Self, String> {
        const PART: &str = "^[A-Za-z0-9_.-]+$";
        const SYSTEM: &str =
            r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$";
        let invalid = |reason: String| Err(format!("{reason}: invalid argument"));
        if text.contains('*') {
            return invalid(format!("{}: wildcards not yet supported", quote(text)));
        }
        let parts: Vec<&str> = text.split('/').collect();
        let first = parts[0].split('(').next().unwrap_or_default();
        let is_word = |part: &str, extra: &str| {
            !part.is_empty()
                && part.chars().all(|it| it.is_ascii_alphanumeric() || extra.contains(it))
        };
        if !is_word(first, "_-") || (first.len() < parts[0].len() && !parts[0].ends_with(')')) {
            return invalid(format!(
                "{} is an invalid OS component of {}: OSAndVersion specifier component must match {}",
                quote(parts[0]),
                quote(text),
                quote(SYSTEM)
            ));
        }
        if let Some(bad) = parts[1..].iter().find(|part| !is_word(part, "_.-")) {
            return invalid(format!(
                "{} is an invalid component of {}: platform specifier component must match {}",
                quote(bad),
                quote(text),
                quote(PART)
            ));
        }
        match parts[1..] {
            [] => {
                let os = system(first);
                if SYSTEMS.contains(&os.as_str()) {
                    return Ok(Self { os, ..host.clone() });
                }
                let (architecture, variant) = processor(parts[0], "");
                if ARCHITECTURES.contains(&architecture.as_str()) {
                    return Ok(Self { os: host.os.clone(), architecture, variant });
                }
                invalid(format!("{}: unknown operating system or architecture", quote(text)))
            }
            [architecture] => Ok(Self::normal(first, architecture, "")),
            [architecture, variant] => Ok(Self::normal(first, architecture, variant)),
            _ => invalid(format!("{}: cannot parse platform specifier", quote(text))),
        }
    }

    fn normal(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = processor(architecture, variant);
        Self { os: system(os), architecture, variant }
    }
}

fn system(os: &str) -> String {
    match os.to_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

fn processor(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", other) => ("arm64", other),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::Platform;

    fn parse(text: &str) -> Result<String, String> {
        let host =
            Platform { os: "linux".into(), architecture: "amd64".into(), variant: String::new() };
        Platform::parse(text, &host).map(|it| it.to_string())
    }

    #[test]
    fn short_forms() {
        for (text, expect) in [
            ("linux", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm64/v8", "linux/arm64"),
            ("windows(10.0.17763)/amd64", "windows/amd64"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expect), "{text}");
        }
    }

    #[test]
    fn other_text() {
        for text in ["", "linux/", "a/b/c/d", "*", "nonsense", "li nux/amd64", "windows(1/amd64"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            parse("linux/").unwrap_err(),
            "\"\" is an invalid component of \"linux/\": platform specifier component must match \"^[A-Za-z0-9_.-]+$\": \
             invalid argument"
        );
    }
}
