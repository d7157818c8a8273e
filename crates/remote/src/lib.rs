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

mod auth;
mod challenge;
mod client;
mod clock;
mod credentials;
mod docker_config;
mod endpoint;
mod error;
mod fetch;
pub mod git;
mod helper;
mod http;
mod manifest;
mod options;
mod pull;
mod push;
mod retry;
mod scope;
mod sink;
mod tags;
mod upload;
mod url;

pub use client::Client;
pub use clock::{Clock, SystemClock};
pub use credentials::{Anonymous, Credential, Credentials};
pub use docker_config::DockerConfig;
pub use error::{Answer, Error, Problem, RegistryError};
pub use fetch::{FetchBody, FetchOptions, Fetched, FileInfo, Validators};
pub use helper::Helpers;
pub use manifest::{RemoteImage, RemoteManifest};
pub use options::{ClientOptions, OnRetry, Proxy, Timeouts};
pub use push::Pushed;
pub use retry::RetryPolicy;
pub use sink::{BlobSink, OneWay};
pub use url::{basic as basic_authorization, without_secrets};
