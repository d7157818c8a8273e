use std::collections::HashMap;

use oci_spec::image::{
    Arch, Descriptor, ImageIndex, ImageIndexBuilder, ImageManifest, ImageManifestBuilder,
    MediaType, Os, PlatformBuilder, SCHEMA_VERSION,
};

use crate::{Digest, Platform, canonical_json};

/// The annotation by which an OCI image layout names a manifest (OCI image-spec, annotations.md).
pub const REF_NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// An image manifest: a configuration and layers, by descriptor.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest(pub ImageManifest);

impl Manifest {
    /// The manifest of `config` with `layers` from the bottom up.
    ///
    /// # Panics
    /// Never: every required field is given.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(config)
            .layers(layers)
            .build();
        Self(manifest.expect("every required field is given"))
    }

    /// The same manifest with `annotations` added.
    #[must_use]
    pub fn with_annotations(
        mut self,
        annotations: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        self.0.set_annotations(merged(self.0.annotations().as_ref(), annotations));
        self
    }

    /// Reads a manifest, Docker's schema 2 as well as OCI's.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes).map(Self)
    }

    /// The bytes that are stored.
    pub fn to_json(&self) -> Vec<u8> {
        canonical_json(&self.0)
    }
}

/// An image index: manifests by platform, or the `index.json` of an OCI image layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Index(pub ImageIndex);

impl Index {
    /// The index of `manifests`.
    ///
    /// # Panics
    /// Never: every required field is given.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests(manifests)
            .build();
        Self(index.expect("every required field is given"))
    }

    /// The same index with `annotations` added.
    #[must_use]
    pub fn with_annotations(
        mut self,
        annotations: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        self.0.set_annotations(merged(self.0.annotations().as_ref(), annotations));
        self
    }

    /// Reads an index, Docker's manifest list as well as OCI's.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes).map(Self)
    }

    /// The bytes that are stored.
    pub fn to_json(&self) -> Vec<u8> {
        canonical_json(&self.0)
    }

    /// The manifest for `platform`: the exact one, else one without a platform, else the same
    /// system and processor with another variant.
    pub fn find(&self, platform: &Platform) -> Option<&Descriptor> {
        let of = Descriptor::named_platform;
        let manifests = self.0.manifests();
        let exact = manifests.iter().find(|d| of(d).as_ref() == Some(platform));
        let unnamed = || manifests.iter().find(|d| of(d).is_none());
        let close = || manifests.iter().find(|d| of(d).is_some_and(|it| it.is_close(platform)));
        exact.or_else(unnamed).or_else(close)
    }

    /// The platforms that it has images for; those of attestations are `unknown` and left out.
    pub fn platforms(&self) -> Vec<Platform> {
        let named = self.0.manifests().iter().filter_map(Descriptor::named_platform);
        named.filter(|platform| platform.os != "unknown").collect()
    }
}

/// A descriptor: what a blob is, its digest and its length in bytes.
///
/// # Panics
/// Never: every required field is given.
pub fn descriptor(media_type: MediaType, digest: Digest, size: u64) -> Descriptor {
    Descriptor::new(
        media_type,
        size,
        digest.to_string().parse::<oci_spec::image::Digest>().expect("a digest is well formed"),
    )
}

/// The digest in `descriptor`, if it is SHA-256.
pub fn digest_of(descriptor: &Descriptor) -> Option<Digest> {
    descriptor.digest().to_string().parse().ok()
}

/// Parts of a descriptor that only some have.
pub trait DescriptorExt {
    /// The same descriptor for `platform`.
    fn with_platform(self, platform: &Platform) -> Self;
    /// The platform that an index says its manifest is for, if it says so.
    fn named_platform(&self) -> Option<Platform>;
    /// The same descriptor with `annotations` added.
    fn with_annotations<K: Into<String>, V: Into<String>>(
        self,
        annotations: impl IntoIterator<Item = (K, V)>,
    ) -> Self;
}

impl DescriptorExt for Descriptor {
    fn with_platform(mut self, platform: &Platform) -> Self {
        let builder = PlatformBuilder::default()
            .os(Os::from(platform.os.as_str()))
            .architecture(Arch::from(platform.architecture.as_str()));
        let builder = if platform.variant.is_empty() {
            builder
        } else {
            builder.variant(platform.variant.clone())
        };
        self.set_platform(Some(builder.build().expect("every required field is given")));
        self
    }

    fn named_platform(&self) -> Option<Platform> {
        let named = self.platform().as_ref()?;
        let (os, architecture) = (named.os().to_string(), named.architecture().to_string());
        let variant = named.variant().as_deref().unwrap_or_default();
        Some(Platform::normalised(&os, &architecture, variant))
    }

    fn with_annotations<K: Into<String>, V: Into<String>>(
        mut self,
        annotations: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let annotations = annotations.into_iter().map(|(key, value)| (key.into(), value.into()));
        self.set_annotations(merged(self.annotations().as_ref(), annotations));
        self
    }
}

/// Annotations with others added; `None` if there are none.
fn merged(
    known: Option<&HashMap<String, String>>,
    more: impl IntoIterator<Item = (String, String)>,
) -> Option<HashMap<String, String>> {
    let all: HashMap<_, _> =
        known.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).chain(more).collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_same_in_any_order_of_annotations() {
        let of = |names: &[&str]| {
            let config = descriptor(MediaType::ImageConfig, Digest::of("c"), 1)
                .with_annotations(names.iter().map(|n| (*n, "v")));
            Manifest::new(config, Vec::new()).to_json()
        };
        assert_eq!(of(&["a", "b", "c", "d", "e"]), of(&["e", "d", "c", "b", "a"]));
    }

    #[test]
    fn index_finds_the_platform() {
        let of = |name: &str| {
            let platform: Platform = name.parse().unwrap();
            descriptor(MediaType::ImageManifest, Digest::of(name), 1).with_platform(&platform)
        };
        let index = Index::new(vec![of("linux/arm64"), of("linux/arm/v6"), of("linux/amd64")]);
        let found = |name: &str| index.find(&name.parse().unwrap()).and_then(digest_of);
        assert_eq!(found("linux/amd64"), Some(Digest::of("linux/amd64")));
        assert_eq!(found("linux/arm/v7"), Some(Digest::of("linux/arm/v6")));
        assert_eq!(found("linux/riscv64"), None);
    }
}
