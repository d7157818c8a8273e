//! Runs a process in namespaces over a root of its own, as root or as an ordinary user.
//!
//! A [`Spec`] is plain data: the layers, the program, who it runs as, what it sees. [`spawn`] turns
//! it into a [`Child`] whose end is the end of every process it started. The overlay and all other
//! mounts live only in the mount namespace of the child, so there is nothing to unmount and nothing
//! that leaks when the host process is killed. What the program changed is in [`Spec::upper`].
//!
//! Where the kernel has namespaces for this user but no overlay, the root can be a plain directory
//! that the program changes in place: a [`Spec`] without lower directories. [`probe`] tells which of
//! the two there is.
//!
//! Three processes take part. The *host* is the caller, with any number of threads. The *supervisor*
//! is a few hundred bytes of stack that share the host's memory and file table; it is the parent of
//! the *command*, which is pid 1 of its own pid namespace. The supervisor watches a pidfd of the host
//! and kills the command when the host dies, however it dies. A parent-death signal alone would not
//! do: it is cleared when the command changes its ids or runs a set-uid program, and it fires when
//! the spawning *thread* ends. The supervisor has a thread of its own, so the parent-death signal
//! that the command also gets is tied to the supervisor and covers the supervisor's own death.
//!
//! Between `clone` and `execve` the command shares the memory of the host, as after `vfork`, so the
//! cost does not depend on how much memory the host uses. Everything it needs is prepared before;
//! after the clone it neither allocates, nor locks, nor touches thread-local state.
//!
//! An ordinary user enters a user namespace first, while there is one thread: [`userns::enter`].
//!
//! Without the feature `namespaces` nothing can be run: what is left are the types in which others
//! can be told what to run, and every attempt is [`Error::Disabled`].
//!
//! # Limitations
//!
//! * Linux 5.12 or later (`mount_setattr`), `x86_64` or `aarch64`.
//! * There is no device cgroup. Instead every file system but the device nodes of `/dev` is mounted
//!   `nodev`, so that neither a device node in an image nor one made with `mknod` gives access to the
//!   machine. Nodes can be made and end up in the layer; they cannot be opened during the step.
//! * With a single mapped id ([`IdMode::Single`]) a program that checks whether it has really become
//!   another user fails; apt does, unless `APT::Sandbox::User` is set to `root`.
//! * No resource limits beside [`Rlimit`]: cgroups are not needed and not used.
//! * [`Network::None`] has a loopback interface and nothing else.
//! * Running as a user other than root clears the host's dumpable flag (`prctl(PR_SET_DUMPABLE)`), as
//!   the kernel does for any process whose memory is shared with one that changes its ids.
//!
//! # Example
//!
//! ```no_run
//! use dfbuild_sandbox::{Exit, IdMode, Spec, spawn};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut spec = Spec::new("/store/7/upper", "/store/7/work");
//! spec.lower = vec!["/store/1/files".into(), "/store/2/files".into()];
//! spec.args = vec!["/bin/sh".into(), "-c".into(), "make install".into()];
//! let mut child = spawn(&spec)?;
//! assert_eq!(child.wait()?, Exit::Code(0));
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "namespaces")]
mod child;
#[cfg(feature = "namespaces")]
mod credentials;
#[cfg(not(feature = "namespaces"))]
mod disabled;
pub mod emulation;
mod error;
mod exit;
mod idmap;
#[cfg(feature = "namespaces")]
mod init;
#[cfg(feature = "namespaces")]
mod memory;
#[cfg(feature = "namespaces")]
mod mounts;
#[cfg(feature = "namespaces")]
mod overlay;
#[cfg(feature = "namespaces")]
mod plan;
#[cfg(feature = "namespaces")]
mod probe;
#[cfg(feature = "namespaces")]
mod report;
#[cfg(feature = "namespaces")]
mod root;
#[cfg(feature = "namespaces")]
mod seccomp;
#[cfg(feature = "namespaces")]
mod spawn;
mod spec;
mod streams;
#[cfg(feature = "namespaces")]
mod subid;
#[cfg(feature = "namespaces")]
mod supervisor;
mod support;
#[cfg(feature = "namespaces")]
mod sys;
#[cfg(feature = "namespaces")]
pub mod userns;

#[cfg(feature = "namespaces")]
pub use child::{Child, Killer};
#[cfg(not(feature = "namespaces"))]
pub use disabled::{Child, Killer, probe, probe_network, spawn, spawn_with};
pub use error::{Error, Hint, Step};
pub use exit::{CpuTime, Exit};
pub use idmap::{IdMap, IdMode, IdRange};
#[cfg(feature = "namespaces")]
pub use memory::few_arenas;
#[cfg(feature = "namespaces")]
pub use probe::{probe, probe_network};
#[cfg(feature = "namespaces")]
pub use spawn::{spawn, spawn_with};
pub use spec::{Mount, Network, OverlayApi, Privileges, Rlimit, Spec, User};
pub use streams::Streams;
pub use support::Support;
