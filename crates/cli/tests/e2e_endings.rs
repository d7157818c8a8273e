//! How builds end that do not end well: what is shown, with which exit code, and what is left behind.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dfbuild_testkit::{Bed, Outcome, as_each_user, eventually, mounts_below, processes_with};
use rustix::process::{Pid, Signal, kill_process};

as_each_user!(
    a_failing_command,
    a_command_that_is_not_there,
    an_interrupt_ends_everything,
    a_termination_ends_everything,
    a_killed_builder_leaves_nothing,
    a_timeout_ends_everything,
    the_second_stage_ends_with_the_first,
);

fn a_failing_command(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nRUN echo fine\n\nRUN echo to-stdout && \\\n    echo to-stderr >&2 && \\\n    exit 42\n",
    );
    let failed = bed.build(&["-t", "app"]).exits_with(1);
    for part in
        ["to-stdout", "to-stderr", "exit code: 42", "Dockerfile:4", ">>> RUN echo to-stdout"]
    {
        assert!(failed.stderr.contains(part), "no {part} in: {}", failed.stderr);
    }
    assert_eq!(failed.stdout, "");
    assert!(failed.stderr.lines().last().unwrap().starts_with("ERROR: "), "{}", failed.stderr);
    assert_eq!(bed.run(&["images", "-q", "app"]).succeeds().stdout, "");
    // What went well before it is kept, the failure is not.
    let again = bed.build(&[]).exits_with(1);
    assert_eq!(again.cached_steps().last(), Some(&"RUN echo fine"), "{}", again.stderr);
    assert!(again.stderr.contains("exit code: 42"), "{}", again.stderr);
    nothing_staged(bed);
    // All of a long output is there, where nothing showed it while it ran.
    bed.write(
        "Dockerfile",
        "FROM base\nRUN i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo line-$i; done; exit 3\n",
    );
    let quiet = bed.run(&["build", "-q", bed.context().to_str().unwrap()]).exits_with(1);
    for part in ["line-1\n", "line-250\n", "line-500\n"] {
        assert!(quiet.stderr.contains(part), "no {part} in: {}", quiet.stderr);
    }
}

fn a_command_that_is_not_there(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile", "FROM base\nRUN [\"/no/such/program\"]\n");
    let failed = bed.build(&[]).exits_with(1);
    assert!(failed.stderr.contains("/no/such/program"), "{}", failed.stderr);
    bed.write("Dockerfile", "FROM base\nRUN no-such-program\n");
    let failed = bed.build(&[]).exits_with(1);
    assert!(failed.stderr.contains("exit code: 127"), "{}", failed.stderr);
}

/// A build in which a step with several processes has come to a halt.
struct Running {
    child: Builder,
    /// What only the step's own processes have in their command lines.
    mark: String,
    stderr: JoinHandle<String>,
}

/// Ends with the test, also when that fails.
struct Builder(Child);

impl Drop for Builder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Its processes: the shell, one in the background and one that left session and process group.
    fn start(bed: &Bed, args: &[&str]) -> Self {
        bed.base();
        let mark = new_mark();
        bed.write(
            "Dockerfile",
            format!(
                "FROM base\nRUN echo before > /before\nRUN sleep {mark} & (trap '' INT TERM HUP; \
                 sleep {mark}) & echo started-$((1+1)); sleep {mark}\n"
            ),
        );
        let mut command = bed.build_command(args);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut child = Builder(child);
        let (started, wait) = mpsc::channel();
        let lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
        let stderr = thread::spawn(move || {
            let mut all = String::new();
            for line in lines.map_while(Result::ok) {
                if line.ends_with("started-2") {
                    let _ = started.send(());
                }
                all += &(line + "\n");
            }
            all
        });
        if wait.recv_timeout(Duration::from_secs(60)).is_err() {
            drop(child);
            panic!("the step did not start: {}", stderr.join().unwrap());
        }
        eventually("three processes sleep", || processes_with(&sleeping(&mark)).len() >= 3);
        Self { child, mark, stderr }
    }

    fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.child.0);
        kill_process(process, signal).expect("it is still running");
    }

    /// Waits for the end, and for the end of all that could be left.
    fn end(mut self, bed: &Bed) -> Outcome {
        let start = Instant::now();
        let status = self.child.0.wait().unwrap();
        let stderr = self.stderr.join().unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "it took {:?}: {stderr}",
            start.elapsed()
        );
        eventually("all processes of the step are gone", || {
            processes_with(&sleeping(&self.mark)).is_empty()
        });
        let here = bed.path().to_str().unwrap().to_owned();
        eventually("no process of the build is left", || processes_with(&here).is_empty());
        assert_eq!(mounts_below(bed.path()), [] as [String; 0]);
        Outcome { code: status.code(), stdout: String::new(), stderr }
    }
}

fn sleeping(mark: &str) -> String {
    format!("sleep {mark}")
}

/// A time to sleep that no other test sleeps: over three years, and less than busybox can read.
fn new_mark() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) % 100;
    (100_000_000 + std::process::id() % 1_000_000 * 100 + number).to_string()
}

fn nothing_staged(bed: &Bed) {
    let staged = fs::read_dir(bed.store().join("staging")).unwrap();
    let staged: Vec<_> = staged.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(staged, [] as [std::path::PathBuf; 0]);
}

/// The next build works, and the step before the one that was ended is still there.
fn the_next_build_works(bed: &Bed) {
    bed.write("Dockerfile", "FROM base\nRUN echo before > /before\nRUN cat /before > /after\n");
    let next = bed.build(&["-t", "app"]).succeeds();
    assert_eq!(next.ran_steps(), ["RUN cat /before > /after"], "{}", next.stderr);
    nothing_staged(bed);
}

fn an_interrupt_ends_everything(bed: &Bed) {
    let running = Running::start(bed, &[]);
    running.signal(Signal::INT);
    let ended = running.end(bed);
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    nothing_staged(bed);
    the_next_build_works(bed);
}

fn a_termination_ends_everything(bed: &Bed) {
    let running = Running::start(bed, &[]);
    running.signal(Signal::TERM);
    let ended = running.end(bed);
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    nothing_staged(bed);
    the_next_build_works(bed);
}

fn a_killed_builder_leaves_nothing(bed: &Bed) {
    let running = Running::start(bed, &[]);
    running.signal(Signal::KILL);
    let ended = running.end(bed);
    assert_eq!(ended.code, None);
    // What was finished may be lost with the builder; what is there must be right.
    bed.write("Dockerfile", "FROM base\nRUN echo before > /before\nRUN cat /before > /after\n");
    let _ = bed.build(&["-t", "app"]).succeeds();
    nothing_staged(bed);
}

fn a_timeout_ends_everything(bed: &Bed) {
    let running = Running::start(bed, &["--timeout", "2s"]);
    let ended = running.end(bed);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("within 2s"), "{}", ended.stderr);
    nothing_staged(bed);
    the_next_build_works(bed);
}

fn the_second_stage_ends_with_the_first(bed: &Bed) {
    bed.base();
    let mark = new_mark();
    let mount = "--mount=type=cache,target=/shared";
    bed.write(
        "Dockerfile",
        format!(
            "FROM base AS fifo\nRUN {mount} mkfifo /shared/fifo\n\
             FROM fifo AS one\nRUN {mount} read word < /shared/fifo; exit 5\n\
             FROM fifo AS two\nRUN {mount} echo go > /shared/fifo; sleep {mark}\n\
             FROM base\nCOPY --from=one /etc/passwd /one\nCOPY --from=two /etc/passwd /two\n"
        ),
    );
    let failed = bed.build(&["--timeout", "60s"]).exits_with(1);
    assert!(failed.stderr.contains("exit code: 5"), "{}", failed.stderr);
    eventually("the other stage's processes are gone", || {
        processes_with(&sleeping(&mark)).is_empty()
    });
    nothing_staged(bed);
}
