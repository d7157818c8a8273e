use std::fmt;

use dfbuild_image::Digest;

/// A part of the store that turned out to be damaged.
///
/// ```
/// use dfbuild::{Damaged, Error, StepError};
///
/// /// What could not be mended, if that is why a build failed.
/// fn damaged(error: &Error) -> Option<Damaged> {
///     match error {
///         Error::Step { source, .. } => match **source {
///             StepError::Damaged(damaged) => Some(damaged),
///             _ => None,
///         },
///         _ => None,
///     }
/// }
/// assert_eq!(damaged(&Error::Cancelled), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Damaged {
    /// A blob whose bytes do not have its digest.
    Blob(Digest),
    /// The layer with that diff id, of which too little is left.
    Layer(Digest),
    /// A blob that is not in the store, and cannot be had from where it was.
    Remote(Digest),
}

impl Damaged {
    /// What is wrong, as a sentence.
    pub(crate) fn problem(&self) -> String {
        match self {
            Self::Blob(_) | Self::Layer(_) => format!("{self} is damaged"),
            Self::Remote(_) => format!("{self} cannot be fetched"),
        }
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest) | Self::Remote(digest) => write!(f, "blob {digest}"),
            Self::Layer(diff_id) => write!(f, "layer {diff_id}"),
        }
    }
}
