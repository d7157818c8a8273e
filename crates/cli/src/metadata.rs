use serde::Serialize;
use serde_json::{Value, json};

/// The content of `--metadata-file`, with buildx's keys.
pub(crate) fn of(
    config_digest: Option<&str>,
    manifest_digest: &str,
    descriptor: &impl Serialize,
    names: &[String],
) -> Value {
    let mut metadata = json!({
        "containerimage.descriptor": serde_json::to_value(descriptor).unwrap_or_default(),
        "containerimage.digest": manifest_digest,
    });
    // An index has no configuration.
    if let Some(digest) = config_digest {
        metadata["containerimage.config.digest"] = digest.into();
    }
    if !names.is_empty() {
        metadata["image.name"] = names.join(",").into();
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_buildxs() {
        let descriptor = json!({"digest": "sha256:b", "size": 1});
        let names = ["docker.io/library/a:1".to_owned(), "docker.io/library/b:1".to_owned()];
        assert_eq!(
            of(Some("sha256:a"), "sha256:b", &descriptor, &names),
            json!({
                "containerimage.config.digest": "sha256:a",
                "containerimage.descriptor": {"digest": "sha256:b", "size": 1},
                "containerimage.digest": "sha256:b",
                "image.name": "docker.io/library/a:1,docker.io/library/b:1",
            })
        );
        assert_eq!(of(None, "b", &descriptor, &[]).get("image.name"), None);
    }
}
