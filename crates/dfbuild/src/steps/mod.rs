//! What a step does: commands in a sandbox, and layers that are written straight from their sources.

pub(crate) mod archive;
mod changes;
pub(crate) mod checkout;
pub(crate) mod copy;
pub(crate) mod copy_step;
#[cfg(test)]
mod copy_tests;
pub(crate) mod draft;
pub(crate) mod missing;
pub(crate) mod mounts;
pub(crate) mod origin;
pub(crate) mod run_step;
pub(crate) mod shebang;
pub(crate) mod ssh_agent;
pub(crate) mod stubs;
pub(crate) mod tree;
pub(crate) mod users;
pub(crate) mod workdir_step;
