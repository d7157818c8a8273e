use std::error::Error as StdError;
use std::io;

use dfbuild_layer::archive::Inflated;

use crate::damaged::Damaged;
use crate::engine::Engine;
use crate::error::{Error, StepError};

impl Engine {
    /// Removes what is damaged, so that it is fetched or made anew.
    pub(crate) fn drop_damaged(&self, damaged: Damaged) -> Result<(), dfbuild_store::Error> {
        match damaged {
            Damaged::Blob(digest) => {
                // Whoever sent it would send the same again. A base is fetched all the same.
                self.lost().lose_blob(digest);
                self.store().drop_blob(&digest)
            }
            Damaged::Remote(_) => Ok(()),
            Damaged::Layer(diff_id) => self.store().drop_layer(&diff_id),
        }
    }
}

/// The damage that caused an error, if some did.
pub(crate) fn cause_of(error: &(dyn StdError + 'static)) -> Option<Damaged> {
    find(error, &|error| {
        // A boxed source is an error of its own type.
        let boxed = error.downcast_ref::<Box<StepError>>().map(|error| &**error);
        if let Some(StepError::Damaged(damaged)) = error.downcast_ref().or(boxed) {
            return Some(*damaged);
        }
        match of_store(error)? {
            dfbuild_store::Error::CorruptBlob { expected, .. } => Some(Damaged::Blob(*expected)),
            _ => None,
        }
    })
}

/// The error of the store that an error is. A transparent error has the source of what it holds,
/// not what it holds.
fn of_store<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e dfbuild_store::Error> {
    let boxed = error.downcast_ref::<Box<StepError>>().map(|error| &**error);
    match error.downcast_ref().or(boxed) {
        Some(StepError::Store(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

/// Whether an error says that a blob is not there any more.
pub(crate) fn is_lost_blob(error: &(dyn StdError + 'static)) -> bool {
    let lost = |error: &(dyn StdError + 'static)| match of_store(error)? {
        dfbuild_store::Error::NoBlob { .. } => Some(()),
        _ => None,
    };
    find(error, &lost).is_some()
}

impl Error {
    /// Whether an archive unpacks to more than an honest one. Whoever trusts it builds with
    /// [`Engine::trusting_archives`].
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nCOPY app /\n");
    /// let error = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap_err();
    /// if error.is_bomb() {
    ///     println!("if you trust its archives, build again with `trusting_archives`");
    /// }
    /// # assert!(!error.is_bomb());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_bomb(&self) -> bool {
        is_bomb(self)
    }
}

/// Whether an error says that an archive unpacks to more than an honest one.
pub(crate) fn is_bomb(error: &(dyn StdError + 'static)) -> bool {
    let bomb = |error: &(dyn StdError + 'static)| {
        // A transparent error has the source of what it holds, not what it holds.
        let boxed = error.downcast_ref::<Box<StepError>>().map(|error| &**error);
        let held = match error.downcast_ref().or(boxed) {
            Some(StepError::Layer(error)) => Some(error),
            _ => error.downcast_ref(),
        };
        let entries = matches!(held, Some(dfbuild_layer::Error::Bomb { .. }));
        (entries || error.is::<Inflated>()).then_some(())
    };
    find(error, &bomb).is_some()
}

/// Looks at an error and its causes. What an [`io::Error`] was made of is a cause too; its own
/// `source` leaves that out.
fn find<T>(
    error: &(dyn StdError + 'static),
    look: &dyn Fn(&(dyn StdError + 'static)) -> Option<T>,
) -> Option<T> {
    if let Some(found) = look(error) {
        return Some(found);
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    if let Some(found) = inner.and_then(|inner| find(inner, look)) {
        return Some(found);
    }
    find(error.source()?, look)
}

#[cfg(test)]
mod tests {
    use dfbuild_image::Digest;

    use super::*;

    #[test]
    fn the_cause_is_found_through_other_errors() {
        let blob = Digest::of("a blob");
        let damaged = io::Error::other(StepError::Damaged(Damaged::Layer(blob)));
        let content = dfbuild_layer::Error::Content { path: "/a".into(), source: damaged };
        assert_eq!(cause_of(&Error::Layer(content)), Some(Damaged::Layer(blob)));
        let corrupt = dfbuild_store::Error::CorruptBlob { expected: blob, found: Digest::of("b") };
        assert_eq!(cause_of(&Error::image("base", corrupt)), Some(Damaged::Blob(blob)));
        assert_eq!(cause_of(&Error::Cancelled), None);
    }

    #[test]
    fn a_lost_blob() {
        let lost = dfbuild_store::Error::NoBlob { digest: Digest::of("x"), layout: "/s".into() };
        assert!(is_lost_blob(&Error::image("base", lost)));
        let lost = dfbuild_store::Error::NoBlob { digest: Digest::of("x"), layout: "/s".into() };
        assert!(is_lost_blob(&Error::image("base", StepError::Store(lost))));
        assert!(!is_lost_blob(&Error::image("base", "no such image")));
    }
}
