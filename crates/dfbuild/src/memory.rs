//! How much memory a process keeps.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let root = folder.path();
//! dfbuild::memory::few_arenas(); // First in `main`, before there are threads.
//! let engine = dfbuild::Engine::open(root)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// Has all threads of this process take memory from two places. For programs that do little else than
/// build, first in `main`; the library never does it by itself.
///
/// glibc gives threads arenas of their own, and keeps for each what its threads gave back. Builds start
/// threads for each phase, and allocate little in them: a `COPY` of 50,000 files takes a sixth less memory
/// without. Elsewhere, and without the feature `sandbox`, this does nothing.
///
/// ```
/// dfbuild::memory::few_arenas();
/// ```
pub fn few_arenas() {
    #[cfg(feature = "sandbox")]
    dfbuild_sandbox::few_arenas();
}
