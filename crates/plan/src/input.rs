use std::collections::BTreeMap;

use dfbuild_dockerfile::Dockerfile;
use dfbuild_image::{Digest, ImageConfig, Platform};

/// What a plan is made from.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// The file, parsed without errors.
    pub dockerfile: &'a Dockerfile<'a>,
    /// The stage to build, by its name; the last one if `None`.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--label`; they win over the file's.
    pub labels: BTreeMap<String, String>,
    /// `--build-context` by name.
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// The platform to build for.
    pub platform: Platform,
    /// The platform that builds.
    pub build_platform: Platform,
    /// The base images resolved so far.
    pub bases: BTreeMap<BaseRequest, BaseImage>,
}

impl<'a> Input<'a> {
    /// The defaults for `dockerfile`: its last stage, for the machine at hand.
    pub fn new(dockerfile: &'a Dockerfile<'a>) -> Self {
        Self {
            dockerfile,
            target: None,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            named_contexts: BTreeMap::new(),
            platform: Platform::host(),
            build_platform: Platform::host(),
            bases: BTreeMap::new(),
        }
    }
}

/// What a `--build-context` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedContext {
    /// A tree of files.
    Directory,
    /// An image.
    Image,
}

/// An image that a plan needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BaseRequest {
    /// The name as the Dockerfile has it, expanded: a reference or a named context.
    pub name: String,
    /// For which platform.
    pub platform: Platform,
}

/// What a plan has to know of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseImage {
    /// Its configuration.
    pub config: ImageConfig,
    /// The digest of its manifest.
    pub digest: Digest,
}
