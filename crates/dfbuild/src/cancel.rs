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
    ///
    /// ```
    /// use dfbuild::Cancel;
    ///
    /// let cancel = Cancel::new();
    /// assert!(!cancel.is_cancelled());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the build: running commands are killed, and it returns [`crate::Error::Cancelled`].
    /// May be called from a signal handler.
    ///
    /// ```
    /// use dfbuild::Cancel;
    ///
    /// let cancel = Cancel::new();
    /// let of_a_request = cancel.clone();
    /// let gone = std::thread::spawn(move || of_a_request.cancel());
    /// gone.join().unwrap();
    /// assert!(cancel.is_cancelled());
    /// ```
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether [`Self::cancel`] was called.
    ///
    /// ```
    /// use dfbuild::Cancel;
    ///
    /// let cancel = Cancel::new();
    /// let mut built = 0;
    /// for _project in ["api", "web", "docs"] {
    ///     if cancel.is_cancelled() {
    ///         break; // Builds that did not begin end here, the running one by itself.
    ///     }
    ///     built += 1;
    ///     # cancel.cancel();
    /// }
    /// assert_eq!(built, 1);
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
