//! Fixtures, base images made from nothing, and temporary stores for the tests of the other crates.
//!
//! A [`Bed`] is what one test builds in: a folder with a context, a store and a place for results, and
//! the `dfbuild` command run as one [`Who`]. [`as_each_user!`] makes a test for each of them.
//!
//! ```no_run
//! use dfbuild_testkit::{Bed, Who};
//!
//! let bed = Bed::new(std::path::Path::new("target/debug/dfbuild"), Who::Caller)?;
//! bed.base();
//! bed.write("Dockerfile", "FROM base\nRUN echo hello\n");
//! let built = bed.build(&["-t", "app"]).succeeds();
//! assert_eq!(built.ran(), 1);
//! # Ok::<(), dfbuild_testkit::Skipped>(())
//! ```
//!
//! *Limitations*: other users than the caller are only to be had as root. A helper panics where a test
//! would have to; it returns [`Skipped`] only for what the machine lacks.
#![forbid(unsafe_code)]

mod base;
mod bed;
mod debian;
mod fixture;
mod git;
mod http;
mod image_layout;
mod layout;
mod noise;
mod outcome;
mod packages;
mod peers;
mod poll;
mod processes;
mod proxy;
mod registry;
mod skip;
mod ssh;
mod tree;
mod who;

pub use base::fill as fill_base;
pub use bed::Bed;
pub use debian::debian;
pub use fixture::Fixture;
pub use git::GitServer;
pub use http::{Handler, HttpServer, Reply, Request};
pub use image_layout::image_layout;
pub use layout::{Image, LayerFile};
pub use noise::noise;
pub use outcome::{Outcome, fails};
pub use packages::PackageSetup;
pub use peers::{Bundle, run};
pub use poll::eventually;
pub use processes::{mounts_below, processes_with};
pub use proxy::{FaultProxy, Tunnel};
pub use registry::{DebianRegistry, RegistrySetup};
pub use skip::{Ended, Skipped, program, run_or_skip};
pub use ssh::SshServer;
pub use tree::{Differ, differences, files_below};
pub use who::Who;

/// Makes a module with a test `caller`, `mapped` and `single_id` for each function: it is called with
/// a [`Bed`] of that user, and must be a `fn(&Bed)`, or a `fn(&Bed) -> Result<(), Skipped>`.
#[macro_export]
macro_rules! as_each_user {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            $crate::each_user!(super::$name, |bed| bed);
        }
    )*};
}

/// The same as [`as_each_user!`] in a module `with_copies`: on beds where commands run in copies of
/// their root file systems. What holds with overlays holds there.
#[macro_export]
macro_rules! as_each_user_with_copies {
    ($($name:ident),* $(,)?) => {
        mod with_copies {$(
            mod $name {
                $crate::each_user!(super::super::$name, $crate::Bed::with_copies);
            }
        )*}
    };
}

/// What is in the modules of [`as_each_user!`].
#[doc(hidden)]
#[macro_export]
macro_rules! each_user {
    ($test:path, $made:expr) => {
        fn run(user: &str, who: $crate::Who) {
            let test = concat!(module_path!(), "::");
            let made: fn($crate::Bed) -> $crate::Bed = $made;
            $crate::run_or_skip(&format!("{test}{user}"), || {
                let binary = std::path::Path::new(env!("CARGO_BIN_EXE_dfbuild"));
                $crate::Ended::ended($test(&made($crate::Bed::new(binary, who)?)))
            });
        }

        #[test]
        fn caller() {
            run("caller", $crate::Who::Caller);
        }

        #[test]
        fn mapped() {
            run("mapped", $crate::Who::Mapped);
        }

        #[test]
        fn single_id() {
            run("single_id", $crate::Who::SingleId);
        }
    };
}
