use std::sync::{Mutex, PoisonError};

use crate::cutter::MOST;

/// Memory for blocks that are under way, used again and again. The thread that hands out the work allocates
/// it: allocators keep what each of the working threads gave back for that thread alone.
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// Enough for so many blocks at a time.
    pub(crate) fn new(count: usize) -> Self {
        // One byte more for what a file must not have.
        Self(Mutex::new((0..count).map(|_| Vec::with_capacity(MOST + 1)).collect()))
    }

    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}
