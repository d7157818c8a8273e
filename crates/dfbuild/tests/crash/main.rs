//! Processes that die at each change to a store, and the order in which changes last.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dfbuild::upkeep::{Finding, Fsck, Prune};
use dfbuild::{Engine, StoreLimit};
use dfbuild_image::Digest;
use dfbuild_store::{Change, Store};
use dfbuild_testkit::{Skipped, eventually, run_or_skip};
use rustix::process::{Signal, getpid, kill_process};

mod trace;
mod work;

use trace::Trace;
use work::Work;

/// What the process that is to die is at, with which context and store, and at which change it dies.
const WORK: &str = "DFBUILD_TEST_CRASH_WORK";
const CONTEXT: &str = "DFBUILD_TEST_CRASH_CONTEXT";
const ROOT: &str = "DFBUILD_TEST_CRASH_ROOT";
const AT: &str = "DFBUILD_TEST_CRASH_AT";

/// Works and dies.
fn die(work: Work) {
    let path = |name| PathBuf::from(env::var_os(name).unwrap());
    let at: usize = env::var(AT).unwrap().parse().unwrap();
    let count = AtomicUsize::new(0);
    let watcher = move |_: &Change| {
        if count.fetch_add(1, Ordering::SeqCst) == at {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    };
    let store = Store::open_watched(path(ROOT), Arc::new(watcher)).unwrap();
    let engine = Engine::with_store(store).unwrap();
    work.run(&engine.with_store_limit(StoreLimit::Unlimited), &path(CONTEXT));
}

fn run_until(work: Work, context: &Path, root: &Path, at: usize) -> ExitStatus {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "a_process_may_die_at_any_change", "--nocapture"]);
    command.env(WORK, work.name()).env(CONTEXT, context).env(ROOT, root).env(AT, at.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
}

#[test]
fn a_process_may_die_at_any_change() {
    // The one that is to die, whatever its work, is this program once more.
    if let Ok(work) = env::var(WORK) {
        return die(Work::of_name(&work));
    }
    let changes = dies_at_each_change(Work::Copies);
    println!("{changes} changes");
    assert!(changes > 100, "only {changes} changes were made");
}

#[test]
fn a_process_that_runs_commands_may_die_at_any_change() {
    run_or_skip("a_process_that_runs_commands_may_die_at_any_change", || {
        if !rustix::process::geteuid().is_root() {
            // An ordinary user enters a user namespace first, and tests have threads.
            return Err(Skipped::because("only root runs commands from a process with threads"));
        }
        let changes = dies_at_each_change(Work::Commands);
        println!("{changes} changes");
        assert!(changes > 60, "only {changes} changes were made");
        Ok(())
    });
}

/// Lets one process after the other die, each a change later, and looks at what it left. Returns how
/// many changes the work makes.
fn dies_at_each_change(work: Work) -> usize {
    let folder = folder();
    let context = work.context(folder.path());
    let sound = {
        let engine = Engine::open(folder.path().join("sound")).unwrap();
        work.build(&engine, &context)
    };
    // Each worker takes the next change; the first that lives through it says how many there are.
    let (next, end) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    if at >= end.load(Ordering::SeqCst) {
                        return;
                    }
                    if !dies_and_recovers(work, &context, at, &sound) {
                        end.fetch_min(at, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    end.into_inner()
}

/// A folder in memory, if there is one: there a sync costs nothing, and nothing is lost with power here.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Whether the process died at that change. What it left is good for whoever comes next.
fn dies_and_recovers(work: Work, context: &Path, at: usize, sound: &[Digest]) -> bool {
    let folder = folder();
    let root = folder.path().join("store");
    let status = run_until(work, context, &root, at);
    assert!(status.success() || status.signal() == Some(Signal::KILL.as_raw()), "{status} at {at}");
    let engine = Engine::open(&root).unwrap();
    let findings = Mutex::new(Vec::new());
    let tell = |finding: &Finding| findings.lock().unwrap().push(finding.clone());
    engine.fsck(&Fsck::default(), &tell).unwrap();
    let damage: Vec<Finding> = findings.into_inner().unwrap();
    assert!(damage.iter().all(|finding| !finding.is_damage), "at change {at}: {damage:?}");
    assert_eq!(work.build(&engine, context), *sound, "{at}");
    let mut prune = Prune::default();
    prune.keep_bytes = Some(u64::MAX);
    engine.prune(&prune).unwrap();
    drop(engine);
    let left = || -> Vec<PathBuf> {
        let folders = ["staging", "trash", "leases", "locks"].map(|name| root.join(name));
        let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    // A command lives on for a moment, and what it may still write to with it. And what several threads had open when
    // they were killed the kernel may close, and unlock, some milliseconds after their process was waited for.
    eventually("what the dead left is gone when a store is opened", || {
        drop(Engine::open(&root).unwrap());
        left().is_empty()
    });
    assert_eq!(left(), [] as [PathBuf; 0], "at change {at}");
    !status.success()
}

#[test]
fn nothing_is_promised_before_it_lasts() {
    let folder = folder();
    let work = Work::Copies;
    let context = work.context(folder.path());
    let root = folder.path().join("store");
    let trace = Arc::new(Mutex::new(Trace::default()));
    let watcher = {
        let (root, trace) = (root.clone(), Arc::clone(&trace));
        move |change: &Change| trace.lock().unwrap().note(&root, change)
    };
    let engine =
        Engine::with_store(Store::open_watched(&root, Arc::new(watcher)).unwrap()).unwrap();
    work.run(&engine, &context);
    drop(engine);
    let trace = trace.lock().unwrap();
    assert!(trace.promises > 20, "only {} things were promised", trace.promises);
    assert!(trace.files.keys().any(|path| path.ends_with("tags")), "the folder of tags is synced");
}
