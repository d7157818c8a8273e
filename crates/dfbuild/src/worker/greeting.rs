use serde::{Deserialize, Serialize};

/// Both sides have to be of this version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a worker says when it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Greeting {
    pub(super) version: String,
}
