//! Processes that die at each change to a store, and the order in which changes last.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::HashMap;
use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use dfbuild::upkeep::{Finding, Fsck, Prune};
use dfbuild::{Build, Cancel, Engine, Event, StoreLimit};
use dfbuild_cache::Record;
use dfbuild_image::Digest;
use dfbuild_store::{Change, Store};
use rustix::process::{Signal, getpid, kill_process};

const DOCKERFILE: &str = "FROM scratch AS one\nCOPY a /a\nFROM scratch\n\
    COPY --from=one / /\nARG NAME\nCOPY b /b-$NAME\n";

fn context(folder: &Path) -> PathBuf {
    let context = folder.join("context");
    fs::create_dir_all(context.join("a")).unwrap();
    fs::write(context.join("Dockerfile"), DOCKERFILE).unwrap();
    fs::write(context.join("a/file"), "x".repeat(10_000)).unwrap();
    fs::write(context.join("b"), "b").unwrap();
    for path in ["a/file", "a", "b"] {
        let then = UNIX_EPOCH + Duration::from_secs(1_500_000_000);
        fs::File::open(context.join(path)).unwrap().set_modified(then).unwrap();
    }
    context
}

/// Builds an image that is called like its content. The same every time, since it has no time.
fn build(engine: &Engine, context: &Path, name: &str) -> Digest {
    let build = Build::new(context).tag("app").tag(name).build_arg("NAME", name);
    let build = build.build_arg("SOURCE_DATE_EPOCH", "1600000000");
    build.run(engine, &|_: &Event| {}, &Cancel::new()).unwrap().image_id
}

/// A bit of everything that changes a store.
fn work(engine: &Engine, context: &Path) {
    build(engine, context, "one");
    engine.untag("one", false).unwrap();
    build(engine, context, "two");
    let mut prune = Prune::default();
    prune.all = true;
    engine.prune(&prune).unwrap();
}

/// Where the process that is to die works, and at which change it dies.
const ROOT: &str = "DFBUILD_TEST_CRASH_ROOT";
const AT: &str = "DFBUILD_TEST_CRASH_AT";

/// Works and dies.
fn die(root: &Path, at: usize) {
    let count = AtomicUsize::new(0);
    let watcher = move |_: &Change| {
        if count.fetch_add(1, Ordering::SeqCst) == at {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    };
    let store = Store::open_watched(root.join("store"), Arc::new(watcher)).unwrap();
    let engine = Engine::with_store(store).unwrap();
    work(&engine.with_store_limit(StoreLimit::Unlimited), &root.join("context"));
}

fn run_until(root: &Path, at: usize) -> ExitStatus {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "a_process_may_die_at_any_change", "--nocapture"]);
    command.env(ROOT, root).env(AT, at.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
}

#[test]
fn a_process_may_die_at_any_change() {
    if let (Some(root), Ok(at)) = (env::var_os(ROOT), env::var(AT)) {
        die(Path::new(&root), at.parse().unwrap());
        return;
    }
    let folder = folder();
    let sound = {
        let engine = Engine::open(folder.path().join("sound")).unwrap();
        let context = context(folder.path());
        ["one", "two"].map(|name| build(&engine, &context, name))
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
                    if !dies_and_recovers(at, &sound) {
                        end.fetch_min(at, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let end = end.into_inner();
    println!("{end} changes");
    assert!(end > 100, "only {end} changes were made");
}

/// A folder in memory, if there is one: there a sync costs nothing, and nothing is lost with power here.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Whether the process died at that change. What it left is good for whoever comes next.
fn dies_and_recovers(at: usize, sound: &[Digest; 2]) -> bool {
    let folder = folder();
    let context = context(folder.path());
    let status = run_until(folder.path(), at);
    assert!(status.success() || status.signal() == Some(Signal::KILL.as_raw()), "{status} at {at}");
    let root = folder.path().join("store");
    let engine = Engine::open(&root).unwrap();
    let findings = Mutex::new(Vec::new());
    let tell = |finding: &Finding| findings.lock().unwrap().push(finding.clone());
    engine.fsck(&Fsck::default(), &tell).unwrap();
    let damage: Vec<Finding> = findings.into_inner().unwrap();
    assert!(damage.iter().all(|finding| !finding.is_damage), "at change {at}: {damage:?}");
    assert_eq!([build(&engine, &context, "one"), build(&engine, &context, "two")], *sound, "{at}");
    let mut prune = Prune::default();
    prune.keep_bytes = Some(u64::MAX);
    engine.prune(&prune).unwrap();
    drop(engine);
    for left in ["staging", "trash", "leases", "locks"] {
        let left: Vec<_> =
            fs::read_dir(root.join(left)).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(left, [] as [PathBuf; 0], "at change {at}");
    }
    !status.success()
}

/// When things of a store got their names, and when everything was synced.
#[derive(Default)]
struct Trace {
    now: usize,
    named: HashMap<PathBuf, usize>,
    synced: usize,
    /// Files and folders that were synced by themselves.
    files: HashMap<PathBuf, usize>,
    promises: usize,
}

impl Trace {
    fn note(&mut self, root: &Path, change: &Change) {
        self.now += 1;
        match change {
            Change::SyncAll => self.synced = self.now,
            Change::Sync(path) => {
                self.files.insert(path.clone(), self.now);
            }
            Change::Rename { from, to } => {
                if let Ok(name) = to.strip_prefix(root) {
                    self.check_promise(root, from, name);
                }
                self.named.insert(to.clone(), self.now);
            }
            _ => {}
        }
    }

    /// What a file that is about to get its name promises must last by now.
    fn check_promise(&mut self, root: &Path, from: &Path, name: &Path) {
        let promised = if name.starts_with("records") {
            promised_by_record(root, &fs::read(from).unwrap())
        } else if name.extension().is_some_and(|end| end == "ok") {
            let text = fs::read_to_string(from).unwrap();
            vec![root.join(name).with_file_name(text.lines().next().unwrap())]
        } else if name.starts_with("tags") {
            assert!(self.files.contains_key(from), "a tag is synced before it gets its name");
            promised_by_tag(root, &fs::read(from).unwrap())
        } else {
            return;
        };
        assert!(!promised.is_empty(), "{} promises nothing", name.display());
        for path in promised {
            let named = self.named.get(&path).copied();
            // Of an earlier process it lasted before.
            assert!(
                named.is_none_or(|named| named < self.synced),
                "{} is promised by {} and not synced",
                path.display(),
                name.display()
            );
            self.promises += usize::from(named.is_some());
        }
    }
}

/// The body of a file that begins with its own digest.
fn body(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    &bytes[end + 1..]
}

/// What is there of the layer of a record.
fn promised_by_record(root: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let of_step = Record::decode(body(bytes)).map(|record| record.layer.diff_id);
    let diff_id: Digest = of_step.unwrap_or_else(|| {
        let derived: serde_json::Value = serde_json::from_slice(body(bytes)).unwrap();
        derived["diff_id"].as_str().unwrap().parse().unwrap()
    });
    let mut paths = Vec::new();
    for entry in fs::read_dir(root.join("layers").join(diff_id.hex())).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("blob.") {
            let blob: serde_json::Value =
                serde_json::from_slice(body(&fs::read(&path).unwrap())).unwrap();
            paths.push(blob_path(root, &blob));
        }
        paths.push(path);
    }
    for flavour in fs::read_dir(root.join("snapshots")).unwrap() {
        let folders = fs::read_dir(flavour.unwrap().path()).unwrap().map(|it| it.unwrap().path());
        let name = diff_id.hex();
        paths.extend(
            folders.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name)),
        );
    }
    paths.retain(|path| path.extension().is_none_or(|end| end != "ok"));
    paths
}

fn promised_by_tag(root: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let tag: serde_json::Value = serde_json::from_slice(body(bytes)).unwrap();
    let manifest = blob_path(root, &tag["descriptor"]);
    let document: serde_json::Value =
        serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let layers = document["layers"].as_array().unwrap().iter();
    let blobs = layers.chain([&document["config"]]).map(|blob| blob_path(root, blob));
    blobs.chain([manifest]).collect()
}

fn blob_path(root: &Path, descriptor: &serde_json::Value) -> PathBuf {
    let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
    root.join("blobs/sha256").join(digest.hex())
}

#[test]
fn nothing_is_promised_before_it_lasts() {
    let folder = folder();
    let context = context(folder.path());
    let root = folder.path().join("store");
    let trace = Arc::new(Mutex::new(Trace::default()));
    let watcher = {
        let (root, trace) = (root.clone(), Arc::clone(&trace));
        move |change: &Change| trace.lock().unwrap().note(&root, change)
    };
    let engine =
        Engine::with_store(Store::open_watched(&root, Arc::new(watcher)).unwrap()).unwrap();
    work(&engine, &context);
    drop(engine);
    let trace = trace.lock().unwrap();
    assert!(trace.promises > 20, "only {} things were promised", trace.promises);
    assert!(trace.files.keys().any(|path| path.ends_with("tags")), "the folder of tags is synced");
}
