use std::sync::Mutex;
use std::time::Instant;

use dfbuild_store::KeyLock;

/// The locks of steps that ran, until the store has promised their results to all: whoever gets one
/// of them before that would run the step again.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(super) locks: Mutex<Vec<KeyLock>>,
    pub(super) committed: Mutex<Instant>,
}

impl Default for Finished {
    fn default() -> Self {
        Self { locks: Mutex::default(), committed: Mutex::new(Instant::now()) }
    }
}
