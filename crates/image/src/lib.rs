//! Digests, descriptors, image configuration and layer entries as stable, byte-reproducible values.
//!
//! This crate holds the nouns in which the other crates meet: what a blob is called ([`Digest`]),
//! what one path of a layer is ([`Entry`], addressed by a [`TreePath`]), what an image says of
//! itself ([`ImageConfig`]), how images refer to blobs ([`Manifest`], [`Index`]) and what people
//! call them ([`Reference`]). All JSON is written with sorted keys and no white space, so equal
//! values have equal digests.
//!
//! *Limitations*: digests are SHA-256 only, the one algorithm every registry has to support.
//!
//! ```
//! use dfbuild_image::{Digest, Reference, TreePath};
//!
//! assert_eq!(Digest::of(b"").to_string().len(), "sha256:".len() + 64);
//! assert_eq!(TreePath::new("/usr//lib/../bin/").as_bytes(), b"usr/bin");
//! assert_eq!("ubuntu:16.04".parse::<Reference>()?.to_string(), "docker.io/library/ubuntu:16.04");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod config;
mod digest;
mod entry;
mod json;
mod manifest;
mod path;
mod platform;
mod reference;
mod time;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use digest::{Digest, Hasher, HashingWriter, ParseDigestError};
pub use entry::{Entry, Kind};
pub use json::canonical_json;
pub use manifest::{DescriptorExt, Index, Manifest, REF_NAME_ANNOTATION, descriptor, digest_of};
pub use oci_spec::image::{Descriptor, MediaType};
pub use path::TreePath;
pub use platform::{ParsePlatformError, Platform};
pub use reference::{ParseReferenceError, Reference};
pub use time::Timestamp;
