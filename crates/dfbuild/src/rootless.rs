//! Entering a user namespace, for ordinary users.
//!
//! ```
//! use dfbuild::{Engine, rootless};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     # let folder = tempfile::tempdir()?;
//!     # let root = folder.path();
//!     let refused = rootless::enter().err(); // Before there are threads.
//!     let mut engine = Engine::open(root)?;
//!     if let Some(reason) = refused {
//!         // Builds without RUN, pulls, pushes and the rest still work.
//!         engine = engine.refusing_commands(reason);
//!     }
//!     assert!(engine.images()?.is_empty());
//!     Ok(())
//! }
//! ```

#[cfg(feature = "sandbox")]
use dfbuild_sandbox::userns;

/// Enters a user namespace in which this process is root, if it is not root already. To be called
/// first in `main`: a process with several threads cannot do it, and an [`Engine`](crate::Engine) that was opened
/// before does not know of the ids.
///
/// With `newuidmap` and ranges in `/etc/subuid` all ids of an image can be mapped. Without them one
/// id is, and changes of owner inside commands are pretended.
///
/// # Errors
/// The kernel does not let this user make a namespace; the error says which setting does.
///
/// ```
/// match dfbuild::rootless::enter() {
///     Ok(()) => println!("commands can run"),
///     Err(error) => {
///         println!("{error}");
///         error.hint().inspect(|hint| println!("{hint}"));
///     }
/// }
/// ```
pub fn enter() -> Result<(), dfbuild_sandbox::Error> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    #[cfg(feature = "sandbox")]
    return userns::enter(&userns::Plan::default()).map(|_| ());
    #[cfg(not(feature = "sandbox"))]
    Err(dfbuild_sandbox::Error::Disabled)
}
