//! What a command costs.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};

/// What one run of a command cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Seconds from its start to its end.
    pub(crate) wall: f64,
    /// Seconds of processors in user mode, of it and its descendants.
    pub(crate) user: f64,
    /// The same in kernel mode.
    pub(crate) system: f64,
    /// The largest resident set of any of these processes, in bytes.
    pub(crate) peak_memory: u64,
}

/// The hidden first argument that makes this program run one command and say what it cost.
pub(crate) const MEASURE: &str = "measure-one-command";

/// Runs a command, which must succeed, and says what it cost.
///
/// The kernel's accounts are those of all children of a process, and their peak memory is a maximum that
/// never falls (and begins with that of who forks). So each command runs below a small process of its own:
/// this program once more.
pub(crate) fn measure(command: &Command) -> io::Result<Cost> {
    measure_and_listen(command).map(|(cost, _)| cost)
}

/// The same, with what the command said.
pub(crate) fn measure_and_listen(command: &Command) -> io::Result<(Cost, String)> {
    let mut wrapper = Command::new(std::env::current_exe()?);
    wrapper.arg(MEASURE).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapper.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        wrapper.current_dir(folder);
    }
    let log = tempfile::NamedTempFile::new()?;
    let output = wrapper.stdin(Stdio::null()).stderr(log.reopen()?).output()?;
    let text = fs::read(log.path()).unwrap_or_default();
    if !output.status.success() {
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(3000)..]).into_owned();
        return Err(io::Error::other(format!("{command:?} failed: {text}")));
    }
    let cost = serde_json::from_slice(&output.stdout).map_err(io::Error::other)?;
    Ok((cost, String::from_utf8_lossy(&text).into_owned()))
}

/// What the small process does: `arguments` are the command.
pub(crate) fn measure_here(mut arguments: impl Iterator<Item = OsString>) -> io::Result<Cost> {
    let program = arguments.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    // What the command says goes to the log, its result is ours.
    command.args(arguments).stdout(io::stderr());
    let start = Instant::now();
    let status = command.status()?;
    let wall = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(io::Error::other(format!("it ended with {status}")));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    #[expect(clippy::cast_precision_loss, reason = "microseconds of minutes fit")]
    let seconds = |time: nix::sys::time::TimeVal| time.num_microseconds() as f64 / 1e6;
    Ok(Cost {
        wall,
        user: seconds(usage.user_time()),
        system: seconds(usage.system_time()),
        // Linux counts it in KiB.
        peak_memory: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
    })
}

/// The middle one of some values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_some_values() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }
}
