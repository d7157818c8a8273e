//! What there is without namespaces: nothing can be run.

use std::convert::Infallible;
use std::io::PipeReader;
use std::path::Path;
use std::time::Duration;

use crate::{CpuTime, Error, Exit, Spec, Streams, Support};

/// A command that runs: there is none.
#[derive(Debug)]
pub struct Child(Infallible);

/// A handle that kills a command: there is none.
#[derive(Clone, Debug)]
pub struct Killer(Infallible);

impl Killer {
    /// Kills every process of the sandbox.
    pub fn kill(&self) {
        match self.0 {}
    }

    /// Sends a signal to the command.
    pub fn signal(&self, _number: i32) {
        match self.0 {}
    }
}

impl Child {
    /// The read end of the command's standard output, the first time.
    pub fn stdout(&mut self) -> Option<PipeReader> {
        match self.0 {}
    }

    /// The read end of the command's standard error, the first time.
    pub fn stderr(&mut self) -> Option<PipeReader> {
        match self.0 {}
    }

    /// Waits until the command has ended.
    pub fn wait(&mut self) -> Result<Exit, Error> {
        match self.0 {}
    }

    /// Waits for at most `timeout`.
    pub fn wait_timeout(&mut self, _timeout: Duration) -> Result<Option<Exit>, Error> {
        match self.0 {}
    }

    /// The processor time that the command took.
    pub fn cpu(&self) -> Option<CpuTime> {
        match self.0 {}
    }

    /// Kills every process of the sandbox.
    pub fn kill(&self) {
        match self.0 {}
    }

    /// A handle to kill the command from another thread.
    pub fn killer(&self) -> Killer {
        match self.0 {}
    }
}

/// Is refused.
pub fn probe(_dir: &Path) -> Result<Support, Error> {
    Err(Error::Disabled)
}

/// Is refused.
pub fn probe_network(_dir: &Path) -> Result<(), Error> {
    Err(Error::Disabled)
}

/// Is refused.
pub fn spawn(_spec: &Spec) -> Result<Child, Error> {
    Err(Error::Disabled)
}

/// Is refused.
pub fn spawn_with(_spec: &Spec, _streams: Streams) -> Result<Child, Error> {
    Err(Error::Disabled)
}
