//! What a compose file says of the images to build. Pure.
//!
//! Texts of compose files and variables go in; a [`Project`] comes out: its services, each with what there is
//! in its `build:` section. Everything else that compose knows (ports, volumes, networks) is read
//! over. Variables are put in as compose does, `.env` files are read by [`env_file`].
//!
//! # Limitations
//!
//! `include` of an address, and `extends` or `include` across more files than a chain of [`MAX_EXTENDS`], are not there.
//!
//! # Example
//!
//! ```
//! use dfbuild_compose::{ComposeFile, Project};
//!
//! let text = "services:\n  web:\n    build: ./web\n    image: shop/web:${TAG:-latest}\n";
//! let file = ComposeFile::new("compose.yml", text);
//! let project = Project::read(&[file], "shop", &|_| None, &|_| Err("none".to_owned()))?;
//! assert_eq!(project.services["web"].image_name(&project.name), "shop/web:latest");
//! # Ok::<(), dfbuild_compose::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod env_file;
mod error;
mod extends;
mod fields;
mod include;
mod interpolate;
mod merge;
mod node;
mod notice;
mod project;
mod service;

pub use error::{Error, Place};
pub use extends::MAX_EXTENDS;
pub use notice::Notice;
pub use project::{ComposeFile, Project, SecretSource, normalised_name};
pub use service::{BuildSection, SecretUse, Service};
