//! Who makes what several builds need, in this process or in others.

use std::thread;
use std::time::Duration;

use dfbuild_image::Digest;
use dfbuild_store::{Holder, KeyLock, KeyLocking};

use crate::engine::Engine;

/// How something that is not there comes to be.
pub(crate) enum Turn<T> {
    /// The caller makes it, and the others that need it wait for the lock.
    Make(KeyLock),
    /// Somebody else made it.
    Made(T),
}

/// How often one looks whether one still has to wait.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(20);

impl Engine {
    /// The right to make what is known by a digest. While somebody else makes it this waits, and tells
    /// `waits` once for whom; it takes over when the other one fails or dies. `None` when the build is
    /// to end.
    pub(crate) fn take_turn<T>(
        &self,
        digest: &Digest,
        waits: &dyn Fn(Holder),
        made: &dyn Fn() -> Option<T>,
    ) -> Option<Turn<T>> {
        let mut told = false;
        loop {
            let lock = match self.store().lock_key(digest) {
                KeyLocking::Locked(lock) => Some(lock),
                KeyLocking::Held(Some(holder)) if !told => {
                    waits(holder);
                    told = true;
                    None
                }
                KeyLocking::Held(_) => None,
            };
            // Also with the lock: whoever had it may have given it back since the last look.
            if let Some(result) = made() {
                return Some(Turn::Made(result));
            }
            if let Some(lock) = lock {
                return Some(Turn::Make(lock));
            }
            if self.ending().is_near() {
                return None;
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }
}
