use crate::{Error, OverlayApi};

/// What works here.
#[derive(Debug)]
#[non_exhaustive]
pub struct Support {
    /// How overlays are set up, or why there are none: then the root of a command has to be a plain
    /// directory.
    pub overlay: Result<OverlayApi, Error>,
}

impl Support {
    /// Without overlays, for `reason`: the root of a command has to be a plain directory.
    pub fn plain(reason: impl Into<String>) -> Self {
        Self { overlay: Err(Error::Unavailable { reason: reason.into() }) }
    }
}
