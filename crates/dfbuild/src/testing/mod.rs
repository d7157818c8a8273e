//! Builds without a kernel that plays along and without a network, for the tests of programs that
//! embed this library.
//!
//! ```
//! use dfbuild::testing::{FakeSandbox, MemoryRegistry};
//! use dfbuild::{Build, BuildContext, Cancel, Engine, Event};
//!
//! let store = tempfile::tempdir()?;
//! let registry = MemoryRegistry::new();
//! let sandbox = FakeSandbox::new(|command| {
//!     std::fs::write(command.root().join("made"), "by a closure").expect("the root can be written");
//!     if command.line().contains("fails") { 1 } else { 0 }
//! });
//! let engine = Engine::open(store.path())?
//!     .with_sandbox(sandbox)
//!     .with_registry(registry.clone());
//!
//! let build = |text: &str| {
//!     Build::new(BuildContext::Empty)
//!         .dockerfile_text(text)
//!         .tag("registry.example/base")
//!         .push(true)
//!         .run(&engine, &|_: &Event| {}, &Cancel::new())
//! };
//! assert_eq!(build("FROM scratch\nRUN make\n")?.layers, 1);
//! // Pulled again from the registry, where nothing else is.
//! assert_eq!(build("FROM registry.example/base\nRUN make more\n")?.ran, 1);
//! assert!(build("FROM scratch\nRUN this fails\n").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::PathBuf;

use crate::engine::Engine;
use crate::error::Error;

mod fake_sandbox;
mod memory_registry;

pub use fake_sandbox::{FakeCommand, FakeSandbox};
pub use memory_registry::MemoryRegistry;

/// An engine whose commands all succeed and do nothing, and whose registries are empty and in memory.
///
/// ```
/// let store = tempfile::tempdir()?;
/// let engine = dfbuild::testing::engine(store.path())?;
/// assert!(engine.images()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn engine(root: impl Into<PathBuf>) -> Result<Engine, Error> {
    let engine = Engine::open(root)?.with_sandbox(FakeSandbox::new(|_| 0));
    Ok(engine.with_registry(MemoryRegistry::new()))
}
