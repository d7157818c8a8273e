use dfbuild::{CacheExport, CacheMode, CacheSource, CacheTarget, Digest};

use super::csv;
use super::outputs::{parse_compression, with_level};
use super::values::parse_reference;

/// The value of `--cache-from` or `--cache-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CacheFlag<T> {
    /// A cache.
    Cache(T),
    /// One of a type that only other builders have: a script that asks for it still builds.
    Ignored(String),
}

impl<T: Clone> CacheFlag<T> {
    /// The cache, if it is one.
    pub(crate) fn cache(&self) -> Option<T> {
        match self {
            Self::Cache(cache) => Some(cache.clone()),
            Self::Ignored(_) => None,
        }
    }

    /// The type that is ignored.
    pub(crate) fn ignored(&self) -> Option<&str> {
        match self {
            Self::Cache(_) => None,
            Self::Ignored(kind) => Some(kind),
        }
    }
}

/// How a cache is called in a folder if nobody says so, as buildx has it.
const DEFAULT_TAG: &str = "latest";

/// Reads `type=registry,ref=NAME` or `type=local,src=DIR[,tag=TAG|,digest=DIGEST]`. A value that
/// is only a name is a registry's, as docker has it.
pub(super) fn parse_from(text: &str) -> Result<CacheFlag<CacheSource>, String> {
    if !text.contains('=') {
        return Ok(CacheFlag::Cache(CacheSource::Registry(parse_reference(text)?)));
    }
    let mut fields = Fields::read(text)?;
    let source = match fields.kind.as_str() {
        "registry" => CacheSource::Registry(parse_reference(&fields.need("ref")?)?),
        "local" => CacheSource::Local {
            folder: fields.need("src")?.into(),
            tag: fields.take("tag"),
            digest: fields.take("digest").map(|digest| parse_digest(&digest)).transpose()?,
        },
        "inline" => {
            let text = "an inline cache is in an image: type=registry,ref=NAME reads it";
            return Err(text.to_owned());
        }
        _ => return Ok(CacheFlag::Ignored(fields.kind)),
    };
    fields.finish()?;
    Ok(CacheFlag::Cache(source))
}

/// Reads `type=registry,ref=NAME`, `type=local,dest=DIR[,tag=TAG]` or `type=inline`, with
/// `mode=min|max` and `compression=…`.
pub(super) fn parse_to(text: &str) -> Result<CacheFlag<CacheExport>, String> {
    if !text.contains('=') {
        let target = CacheTarget::Registry(parse_reference(text)?);
        return Ok(CacheFlag::Cache(CacheExport::new(target)));
    }
    let mut fields = Fields::read(text)?;
    let mut export = CacheExport::new(match fields.kind.as_str() {
        "registry" => CacheTarget::Registry(parse_reference(&fields.need("ref")?)?),
        "local" => CacheTarget::Local {
            folder: fields.need("dest")?.into(),
            tag: fields.take("tag").unwrap_or_else(|| DEFAULT_TAG.to_owned()),
        },
        "inline" => CacheTarget::Inline,
        _ => return Ok(CacheFlag::Ignored(fields.kind)),
    });
    export.mode = match fields.take("mode").as_deref() {
        None | Some("min") => CacheMode::Min,
        Some("max") if export.target == CacheTarget::Inline => {
            return Err("an inline cache is always mode=min: use type=registry".to_owned());
        }
        Some("max") => CacheMode::Max,
        Some(other) => return Err(format!("`mode={other}`: it is min or max")),
    };
    let level = fields.take("compression-level");
    if let Some(name) = fields.take("compression") {
        export.compression = Some(with_level(parse_compression(&name)?, level.as_deref())?);
    }
    fields.finish()?;
    Ok(CacheFlag::Cache(export))
}

/// The attributes of a cache.
struct Fields {
    kind: String,
    rest: Vec<(String, String)>,
}

impl Fields {
    fn read(text: &str) -> Result<Self, String> {
        let mut rest = csv::key_values(text)?;
        let kind = rest.iter().position(|(key, _)| key == "type");
        let kind = kind.ok_or("`type=…` is missing: there are registry, local and inline")?;
        let (_, kind) = rest.remove(kind);
        Ok(Self { kind, rest })
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.rest.iter().position(|(known, _)| known == key)?;
        Some(self.rest.remove(at).1)
    }

    fn need(&mut self, key: &str) -> Result<String, String> {
        let value = self.take(key).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("`{key}=…` is missing"))
    }

    /// What is left asks for what is done anyway, or is not known.
    fn finish(self) -> Result<(), String> {
        for (key, value) in self.rest {
            let harmless = match key.as_str() {
                // No cache ever fails a build.
                "ignore-error" => true,
                "image-manifest" | "oci-mediatypes" => matches!(value.as_str(), "true" | ""),
                "force-compression" => value == "false",
                _ => false,
            };
            if !harmless {
                return Err(format!("unknown attribute `{key}={value}`"));
            }
        }
        Ok(())
    }
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|_| format!("`digest={text}`: it is sha256: and 64 digits"))
}

#[cfg(test)]
mod tests {
    use dfbuild::{Compression, Reference};

    use super::*;

    fn name(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn sources() {
        let registry = CacheFlag::Cache(CacheSource::Registry(name("a.example/c:1")));
        for given in
            ["a.example/c:1", "type=registry,ref=a.example/c:1", "ref=a.example/c:1,type=registry"]
        {
            assert_eq!(parse_from(given), Ok(registry.clone()), "{given}");
        }
        let local = |tag: Option<&str>| {
            let tag = tag.map(ToOwned::to_owned);
            CacheFlag::Cache(CacheSource::Local { folder: "/c".into(), tag, digest: None })
        };
        assert_eq!(parse_from("type=local,src=/c"), Ok(local(None)));
        assert_eq!(parse_from("type=local,src=/c,tag=x"), Ok(local(Some("x"))));
        assert_eq!(parse_from("type=gha,scope=x"), Ok(CacheFlag::Ignored("gha".to_owned())));
    }

    #[test]
    fn targets() {
        let given = "type=registry,ref=a.example/c,mode=max,compression=zstd,compression-level=5,\
                     ignore-error=true,image-manifest=true,oci-mediatypes=true";
        let export = parse_to(given).unwrap().cache().unwrap();
        assert_eq!(export.target, CacheTarget::Registry(name("a.example/c")));
        assert_eq!(export.mode, CacheMode::Max);
        assert_eq!(export.compression, Some(Compression::Zstd { level: 5 }));
        let folder = parse_to("type=local,dest=/c").unwrap().cache().unwrap();
        let target = CacheTarget::Local { folder: "/c".into(), tag: "latest".to_owned() };
        assert_eq!(folder, CacheExport::new(target));
        let inline = parse_to("type=inline").unwrap().cache().unwrap();
        assert_eq!(inline, CacheExport::new(CacheTarget::Inline));
        for kind in ["gha", "s3", "azblob"] {
            assert_eq!(
                parse_to(&format!("type={kind},x=y")),
                Ok(CacheFlag::Ignored(kind.to_owned()))
            );
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (given, part) in [
            ("type=registry", "`ref=…` is missing"),
            ("ref=a", "`type=…` is missing"),
            ("type=local", "`dest=…` is missing"),
            ("type=inline,mode=max", "always mode=min"),
            ("type=registry,ref=a,mode=most", "min or max"),
            ("type=registry,ref=a,colour=red", "unknown attribute `colour=red`"),
            ("type=registry,ref=A", "lowercase"),
        ] {
            let error = parse_to(given).unwrap_err();
            assert!(error.contains(part), "{given}: {error}");
        }
        assert!(parse_from("type=inline").unwrap_err().contains("type=registry"));
        assert!(parse_from("type=local,src=x,digest=y").unwrap_err().contains("64 digits"));
    }
}
