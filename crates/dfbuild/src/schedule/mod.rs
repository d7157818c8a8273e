//! Which steps run, when, and which come from the cache.

pub(crate) mod declared;
pub(crate) mod definition;
mod definitions;
mod drive;
mod failures;
mod finished;
mod key_parts;
pub(crate) mod keys;
pub(crate) mod last_build;
pub(crate) mod loaded;
pub(crate) mod lookup;
mod meant;
pub(crate) mod misses;
#[cfg(test)]
mod misses_tests;
mod no_cache;
pub(crate) mod nodes;
mod planning;
pub(crate) mod progress;
pub(crate) mod session;
pub(crate) mod slots;
pub(crate) mod sources;
pub(crate) mod stage_result;
mod stage_run;
mod step_lock;
mod step_run;
