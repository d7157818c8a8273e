//! Everything from elsewhere: images from and to registries, files from web servers.
//!
//! A [`Client`] speaks the distribution protocol of registries, Docker's and OCI's alike: it
//! answers their challenges with [`Credentials`], tries again what may succeed the next time
//! ([`RetryPolicy`]), takes up lost downloads where they ended, sends no blob that is there, and
//! believes no byte that does not have its digest. It is synchronous; threads may share it.
//!
//! It reads no environment and no configuration, and prints nothing: proxies, certificates,
//! credentials and mirrors come in as [`ClientOptions`]. The only programs that it runs are the
//! helpers that a [`DockerConfig`] is told of, and `git` ([`git`]).
//!
//! Without the feature `http` there is no network: a [`Client`] can be made and refuses everything
//! with [`Error::Disabled`]. What is left is [`Registry`], which others can be.
//!
//! *Limitations*: HTTP/1.1 only; no client certificates; digests are SHA-256 only; Docker's
//! schema 1 is refused.
//!
//! ```
//! use dfbuild_remote::{Client, ClientOptions, Error};
//!
//! let options = ClientOptions { offline: true, ..ClientOptions::default() };
//! let client = Client::new(options)?;
//! let reference = "ubuntu:16.04".parse().expect("a well formed reference");
//! assert!(matches!(client.manifest(&reference), Err(Error::Offline { .. })));
//! # Ok::<(), Error>(())
//! ```
#![forbid(unsafe_code)]

mod address;
#[cfg(feature = "http")]
mod auth;
#[cfg(feature = "http")]
mod challenge;
#[cfg(feature = "http")]
mod client;
mod clock;
mod credentials;
#[cfg(not(feature = "http"))]
mod disabled;
mod docker_config;
#[cfg(feature = "http")]
mod endpoint;
mod error;
#[cfg(feature = "http")]
mod fetch;
pub mod git;
mod helper;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod manifest;
mod options;
#[cfg(feature = "http")]
mod pull;
#[cfg(feature = "http")]
mod push;
mod registry;
#[cfg(feature = "http")]
mod retry;
#[cfg(feature = "http")]
mod scope;
mod sink;
#[cfg(feature = "http")]
mod tags;
#[cfg(feature = "http")]
mod upload;
#[cfg(feature = "http")]
mod url;
mod web;

pub use address::{basic as basic_authorization, without_secrets};
#[cfg(feature = "http")]
pub use client::Client;
pub use clock::{Clock, SystemClock};
pub use credentials::{Anonymous, Credential, Credentials};
pub use dfbuild_image::MediaType;
#[cfg(not(feature = "http"))]
pub use disabled::Client;
pub use docker_config::DockerConfig;
pub use error::{Answer, Error, Problem, RegistryError};
#[cfg(feature = "http")]
pub use fetch::{FetchBody, Fetched};
pub use helper::Helpers;
pub use options::{ClientOptions, OnRetry, Proxy, RetryPolicy, Timeouts};
pub use registry::{Pushed, Registry, RemoteImage, RemoteManifest};
pub use sink::{BlobSink, OneWay};
pub use web::{FetchOptions, FileInfo, Validators};
