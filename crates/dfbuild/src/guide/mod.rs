//! How to do things with this library, each in one page whose code is tested.
//!
//! Every build has four parts:
//!
//! ```
//! use dfbuild::{Build, BuildContext, Cancel, Engine, Event};
//!
//! # let folder = tempfile::tempdir()?;
//! let engine = Engine::open(folder.path())?; // Where: a store.
//! let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nENV A=b\n"); // What.
//! let observer = |event: &Event| drop(event); // Who hears of it.
//! let cancel = Cancel::new(); // Who may end it.
//! let built = build.run(&engine, &observer, &cancel)?;
//! assert_eq!((built.layers, built.ran), (0, 0)); // ENV runs nothing.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[doc = include_str!("embed.md")]
pub mod embed {}

#[doc = include_str!("progress.md")]
pub mod progress {}

#[doc = include_str!("cancel.md")]
pub mod cancel {}

#[doc = include_str!("share_a_store.md")]
pub mod share_a_store {}

#[doc = include_str!("server.md")]
pub mod server {}

#[doc = include_str!("test.md")]
pub mod test {}
