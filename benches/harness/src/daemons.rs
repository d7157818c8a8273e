//! What those need that build in a daemon.

use std::fs;

use crate::peers::Peer;

/// The daemons of a builder, watched during one run.
#[derive(Debug)]
pub(crate) struct Daemons(Vec<u32>);

impl Daemons {
    /// Finds them, and lets the kernel forget their peaks so far.
    pub(crate) fn of(peer: &dyn Peer) -> Self {
        let names = peer.daemons();
        if names.is_empty() {
            return Self(Vec::new());
        }
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let daemons = ids.filter(|id| {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            names.contains(&name.trim_end())
        });
        let ids: Vec<u32> = daemons.collect();
        for id in &ids {
            // 5 resets VmHWM (proc_pid_clear_refs(5)). Without the right to it the peak is too high.
            let _ = fs::write(format!("/proc/{id}/clear_refs"), "5");
        }
        Self(ids)
    }

    /// The sum of their peaks, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let peak = |id: &u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        self.0.iter().filter_map(peak).sum::<u64>() * 1024
    }
}
