use std::fs;
use std::path::Path;

use serde_json::Value;

/// An image in an OCI image layout, read without any code of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of its manifest.
    pub digest: String,
    /// Its configuration.
    pub config: Value,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerFile>,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFile {
    /// The digest of the blob.
    pub digest: String,
    /// The digest of the uncompressed archive.
    pub diff_id: String,
    /// The instruction that made it, as the history has it.
    pub created_by: String,
}

impl Image {
    /// The image called `name` (`app:latest`) in the layout.
    ///
    /// # Panics
    /// When there is none, or a blob does not fit.
    pub fn open(layout: &Path, name: &str) -> Self {
        let index = json(&layout.join("index.json"));
        let named = |manifest: &&Value| {
            let known = manifest["annotations"]["org.opencontainers.image.ref.name"].as_str();
            known.is_some_and(|known| known == name || known.ends_with(&format!("/{name}")))
        };
        let manifests = index["manifests"].as_array().expect("the index has manifests");
        let found = manifests.iter().find(named);
        let descriptor = found.unwrap_or_else(|| panic!("no image {name} in {index:#}"));
        let digest = string(&descriptor["digest"]);
        let manifest = json(&blob(layout, &digest));
        let config = json(&blob(layout, &string(&manifest["config"]["digest"])));
        let layers = layers(&manifest, &config);
        Self { digest, config, layers }
    }

    /// The layer whose history begins like this.
    ///
    /// # Panics
    /// When there is none.
    pub fn layer(&self, created_by: &str) -> &LayerFile {
        let found = self.layers.iter().find(|layer| layer.created_by.starts_with(created_by));
        found.unwrap_or_else(|| panic!("no layer of {created_by} in {:#?}", self.layers))
    }
}

fn layers(manifest: &Value, config: &Value) -> Vec<LayerFile> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let histories = list(&config["history"]);
    let histories: Vec<&Value> =
        histories.iter().filter(|history| history["empty_layer"] != Value::Bool(true)).collect();
    let (blobs, diff_ids) = (list(&manifest["layers"]), list(&config["rootfs"]["diff_ids"]));
    assert_eq!(blobs.len(), diff_ids.len(), "every layer has a diff id: {manifest:#} {config:#}");
    assert_eq!(blobs.len(), histories.len(), "every layer has a history: {config:#}");
    let all = blobs.iter().zip(&diff_ids).zip(histories);
    all.map(|((blob, diff_id), history)| LayerFile {
        digest: string(&blob["digest"]),
        diff_id: string(diff_id),
        created_by: string(&history["created_by"]),
    })
    .collect()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn blob(layout: &Path, digest: &str) -> std::path::PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
