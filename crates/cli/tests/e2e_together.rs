//! Several builds at the same time on one store: equal steps run once, and cache mounts are shared as
//! they say.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use dfbuild_testkit::{Bed, Outcome, as_each_user, eventually};
use rustix::process::{Pid, Signal, kill_process};

as_each_user!(
    equal_steps_run_once,
    equal_steps_of_one_build_run_once,
    whoever_waits_takes_over_from_the_dead,
    whoever_waits_takes_over_from_a_failure,
    a_wait_ends_with_an_interrupt,
    a_locked_cache_has_one_user,
    a_shared_cache_has_many,
    a_private_cache_is_not_shared,
);

/// Notes in the cache that it runs, and goes on when a file `go` is there.
const STEP: &str = "RUN --mount=type=cache,target=/c echo run >> /c/runs; \
    echo started-$((1+1)); until [ -e /c/go ]; do sleep 0.02; done; \
    if [ -e /c/fail ]; then rm /c/fail; exit 3; fi; cp /c/runs /runs\n";

/// A build in the background.
struct Building {
    child: Child,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Building {
    fn start(bed: &Bed, args: &[&str]) -> Self {
        let mut command = bed.build_command(args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let heard = Arc::clone(&stderr);
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, stderr, reader: Some(reader) }
    }

    fn until(&self, part: &str) {
        eventually(&format!("the build says `{part}`"), || {
            self.stderr.lock().unwrap().contains(part)
        });
    }

    fn waits_for(&self, other: &Self) {
        self.until(&format!("waiting for process {}, ", other.child.id()));
    }

    fn end(mut self) -> Outcome {
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        let stderr = self.stderr.lock().unwrap().clone();
        Outcome { code, stdout: String::new(), stderr }
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two builds that need the same step: the first runs it, the second waits.
fn two(bed: &Bed) -> (Building, Building) {
    bed.base();
    bed.write("Dockerfile", format!("FROM base\n{STEP}"));
    let first = Building::start(bed, &["-t", "one"]);
    first.until("started-2");
    let second = Building::start(bed, &["-t", "two"]);
    second.waits_for(&first);
    (first, second)
}

/// The folder of the only cache mount.
fn cache(bed: &Bed) -> PathBuf {
    let entries = fs::read_dir(bed.store().join("mounts")).unwrap();
    let mut folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let cache = folders.next().unwrap();
    assert_eq!(folders.next(), None);
    cache
}

fn put(folder: &Path, name: &str) {
    fs::write(folder.join(name), "").unwrap();
}

fn runs(bed: &Bed) -> usize {
    fs::read_to_string(cache(bed).join("runs")).unwrap().lines().count()
}

fn equal_steps_run_once(bed: &Bed) {
    let (first, second) = two(bed);
    put(&cache(bed), "go");
    assert_eq!(first.end().succeeds().ran(), 1);
    let second = second.end().succeeds();
    assert_eq!((second.ran(), second.cached()), (0, 1), "{}", second.stderr);
    assert_eq!(runs(bed), 1);
    assert_eq!(bed.image("one").digest, bed.image("two").digest);
    assert_eq!(fs::read_dir(bed.store().join("locks")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(bed.store().join("leases")).unwrap().count(), 0);
}

fn equal_steps_of_one_build_run_once(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base AS one\nRUN --mount=type=cache,target=/c echo run >> /c/runs; sleep 0.1; date > /x\n\
         FROM base AS two\nRUN --mount=type=cache,target=/c echo run >> /c/runs; sleep 0.1; date > /x\n\
         FROM base\nCOPY --from=one /x /one\nCOPY --from=two /x /two\nRUN cmp /one /two\n",
    );
    let _ = bed.build(&["-t", "app"]).succeeds();
    assert_eq!(runs(bed), 1);
}

fn whoever_waits_takes_over_from_the_dead(bed: &Bed) {
    let (mut first, second) = two(bed);
    first.child.kill().unwrap();
    second.until("started-2");
    put(&cache(bed), "go");
    assert_eq!(second.end().succeeds().ran(), 1);
    assert_eq!(runs(bed), 2);
    drop(first);
    let again = bed.build(&[]).succeeds();
    assert_eq!(again.ran(), 0);
}

fn whoever_waits_takes_over_from_a_failure(bed: &Bed) {
    let (first, second) = two(bed);
    put(&cache(bed), "fail");
    put(&cache(bed), "go");
    let failed = first.end().exits_with(1);
    assert!(failed.stderr.contains("exit code: 3"), "{}", failed.stderr);
    assert_eq!(second.end().succeeds().ran(), 1);
    assert_eq!(runs(bed), 2);
}

fn a_wait_ends_with_an_interrupt(bed: &Bed) {
    let (first, second) = two(bed);
    kill_process(Pid::from_child(&second.child), Signal::INT).unwrap();
    let _ = second.end().exits_with(130);
    put(&cache(bed), "go");
    assert_eq!(first.end().succeeds().ran(), 1);
    assert_eq!(runs(bed), 1);
}

/// Builds the same lines several times at once, each as a step of its own.
fn at_once(bed: &Bed, count: usize, lines: &str) -> Vec<Outcome> {
    bed.base();
    bed.write("Dockerfile", format!("FROM base\nARG NUMBER\n{lines}"));
    let builds: Vec<Building> = (0..count)
        .map(|number| Building::start(bed, &["--build-arg", &format!("NUMBER={number}")]))
        .collect();
    builds.into_iter().map(Building::end).collect()
}

fn a_locked_cache_has_one_user(bed: &Bed) {
    // A folder can be made once.
    let step = "RUN --mount=type=cache,target=/c,sharing=locked \
        mkdir /c/alone && sleep 0.1 && rmdir /c/alone\n";
    for built in at_once(bed, 3, step) {
        assert_eq!(built.succeeds().ran(), 1);
    }
}

fn a_shared_cache_has_many(bed: &Bed) {
    // Each waits for the other.
    let step = "RUN --mount=type=cache,target=/c touch /c/$NUMBER; \
        until [ -e /c/0 ] && [ -e /c/1 ]; do sleep 0.02; done\n";
    for built in at_once(bed, 2, step) {
        assert_eq!(built.succeeds().ran(), 1);
    }
}

fn a_private_cache_is_not_shared(bed: &Bed) {
    bed.base();
    let step = "RUN --mount=type=cache,target=/c,sharing=private \
        ls /c > /found; touch /c/$NAME; echo started-$((1+1)); until [ -e /c/go ]; do sleep 0.02; done\n";
    let dockerfile = |name: &str| format!("FROM base\nARG NAME={name}\n{step}");
    bed.write("Dockerfile", dockerfile("one"));
    let first = Building::start(bed, &[]);
    first.until("started-2");
    let cache = cache(bed);
    bed.write("Dockerfile", dockerfile("two"));
    let tree = format!("type=local,dest={}", bed.join("out/tree").display());
    let second = Building::start(bed, &["-o", &tree]);
    second.until("started-2");
    let copies = fs::read_dir(bed.store().join("mounts")).unwrap();
    let copies: Vec<PathBuf> =
        copies.map(|it| it.unwrap().path()).filter(|it| it.is_dir()).collect();
    assert_eq!(copies.len(), 2);
    for copy in &copies {
        put(copy, "go");
    }
    assert_eq!(first.end().succeeds().ran(), 1);
    assert_eq!(second.end().succeeds().ran(), 1);
    assert_eq!(bed.exported("found"), "");
    assert!(cache.join("one").exists() && !cache.join("two").exists());
    // The first copy is free again.
    bed.write("Dockerfile", dockerfile("three"));
    let _ = bed.build(&[]).succeeds();
    assert!(cache.join("three").exists());
}
