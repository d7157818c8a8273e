use dfbuild::{Annotation, AnnotationTarget, Platform};

/// An `--annotation`: `[TYPE[[PLATFORM]][,TYPE…]:]KEY=VALUE`, as buildx reads it. Without a type it
/// is for manifests.
pub(crate) fn parse(text: &str) -> Result<Annotations, String> {
    let (key, value) = text.split_once('=').ok_or("there is no `=`: it is KEY=VALUE")?;
    let (types, key) = match key.split_once(':') {
        Some((types, key)) => (types.split(',').map(parse_type).collect::<Result<_, _>>()?, key),
        None => (vec![(AnnotationTarget::Manifest, None)], key),
    };
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    let one = |(target, platform)| Annotation {
        target,
        platform,
        key: key.to_owned(),
        value: value.to_owned(),
    };
    Ok(Annotations(types.into_iter().map(one).collect()))
}

/// What one flag stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotations(pub(crate) Vec<Annotation>);

fn parse_type(text: &str) -> Result<(AnnotationTarget, Option<Platform>), String> {
    let (name, platform) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((name, platform)) => {
            let platform: Platform =
                platform.parse().map_err(|error| format!("platform `{platform}`: {error}"))?;
            (name, Some(platform))
        }
        None => (text, None),
    };
    let target = match name {
        "manifest" => AnnotationTarget::Manifest,
        "index" => AnnotationTarget::Index,
        "manifest-descriptor" => AnnotationTarget::ManifestDescriptor,
        "index-descriptor" => AnnotationTarget::IndexDescriptor,
        _ => {
            return Err(format!(
                "unknown type `{name}`: there are manifest, index, manifest-descriptor and \
                 index-descriptor"
            ));
        }
    };
    if platform.is_some()
        && matches!(target, AnnotationTarget::Index | AnnotationTarget::IndexDescriptor)
    {
        return Err(format!("an {name} is not of one platform"));
    }
    Ok((target, platform))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_platforms() {
        let check = |text: &str, expect: &[(AnnotationTarget, Option<&str>)]| {
            let found = parse(text).unwrap().0;
            let expect = expect.iter().map(|(target, platform)| Annotation {
                target: *target,
                platform: platform.map(|platform| platform.parse().unwrap()),
                key: "a.b".into(),
                value: "c=d".into(),
            });
            assert_eq!(found, expect.collect::<Vec<_>>(), "{text}");
        };
        check("a.b=c=d", &[(AnnotationTarget::Manifest, None)]);
        check("index:a.b=c=d", &[(AnnotationTarget::Index, None)]);
        check(
            "manifest[linux/arm64],manifest-descriptor:a.b=c=d",
            &[
                (AnnotationTarget::Manifest, Some("linux/arm64")),
                (AnnotationTarget::ManifestDescriptor, None),
            ],
        );
        for (text, part) in [
            ("a", "no `=`"),
            ("=b", "the key is empty"),
            ("picture:a=b", "unknown type `picture`"),
            ("index[linux/arm64]:a=b", "not of one platform"),
            ("manifest[x/y/z/w]:a=b", "platform `x/y/z/w`"),
        ] {
            assert!(parse(text).unwrap_err().contains(part), "{text}");
        }
    }
}
