//! How to do things with this library, each in one page whose code is tested.

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
