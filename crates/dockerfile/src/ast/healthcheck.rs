//! `HEALTHCHECK`.

use crate::ast::Command;

/// `HEALTHCHECK NONE` or `HEALTHCHECK [flags] CMD command`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck<'a> {
    /// Switches off the check of the base image.
    None,
    /// Sets the check.
    Cmd(Box<HealthcheckCommand<'a>>),
}

/// A check and when to run it. Durations are nanoseconds; 0 and absent both mean the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthcheckCommand<'a> {
    /// What to run. The shell form is stored as `CMD-SHELL`.
    pub command: Command<'a>,
    /// `--interval`.
    pub interval: Option<i64>,
    /// `--timeout`.
    pub timeout: Option<i64>,
    /// `--start-period`.
    pub start_period: Option<i64>,
    /// `--start-interval`.
    pub start_interval: Option<i64>,
    /// `--retries`.
    pub retries: Option<i32>,
}
