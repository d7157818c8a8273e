use std::fs;
use std::path::Path;

/// The command lines of all processes of the machine that contain `part`.
pub fn processes_with(part: &str) -> Vec<String> {
    of_each_process("cmdline")
        .map(|(process, text)| format!("{process}: {}", text.replace('\0', " ")))
        .filter(|line| line.contains(part))
        .collect()
}

/// The mounts below a folder, in any mount namespace that this user may look into.
pub fn mounts_below(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("folders of tests have plain names");
    of_each_process("mountinfo")
        .flat_map(|(process, text)| {
            let lines = text.lines().filter(|line| line.contains(folder));
            lines.map(|line| format!("{process}: {line}")).collect::<Vec<_>>()
        })
        .collect()
}

/// A file below `/proc/PID` of every process that is there and may be looked at.
fn of_each_process(file: &str) -> impl Iterator<Item = (u32, String)> {
    let processes = fs::read_dir("/proc").expect("/proc is mounted");
    processes.filter_map(move |entry| {
        let entry = entry.ok()?;
        let process = entry.file_name().to_str()?.parse().ok()?;
        let bytes = fs::read(entry.path().join(file)).ok()?;
        Some((process, String::from_utf8_lossy(&bytes).into_owned()))
    })
}
