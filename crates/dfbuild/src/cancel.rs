use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a build from another thread. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A build that goes on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the build: running commands are killed, and it returns [`crate::Error::Cancelled`].
    /// May be called from a signal handler.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
