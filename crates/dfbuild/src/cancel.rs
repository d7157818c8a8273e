use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a build from another thread. Clones are the same.
///
/// ```
/// use dfbuild::{Build, BuildContext, Cancel, Error, Event};
///
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let cancel = Cancel::new();
/// cancel.clone().cancel(); // From anywhere.
/// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
/// let ended = build.run(&engine, &|_: &Event| {}, &cancel);
/// assert!(matches!(ended, Err(Error::Cancelled)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
