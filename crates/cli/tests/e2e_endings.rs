//! How builds end that do not end well: what is shown, with which exit code, and what is left behind.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dfbuild_testkit::{
    Bed, Image, Outcome, as_each_user, as_each_user_with_copies, eventually, mounts_below,
    processes_with,
};
use rustix::process::{Pid, Signal, kill_process};

as_each_user!(
    a_failing_command,
    a_command_that_is_not_there,
    an_interrupt_ends_everything,
    a_termination_ends_everything,
    two_interrupts_end_it_at_once,
    an_interrupt_ends_a_pull,
    an_interrupt_ends_a_wait_for_a_context,
    a_killed_builder_leaves_nothing,
    a_killed_builder_ends_other_users,
    a_builder_killed_at_any_moment,
    a_timeout_ends_everything,
    the_second_stage_ends_with_the_first,
);

as_each_user_with_copies!(
    a_failing_command,
    an_interrupt_ends_everything,
    a_killed_builder_leaves_nothing,
    a_builder_killed_at_any_moment,
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
    // One that is there, and its interpreter is not.
    bed.write("run.sh", "#!/bin/sh\r\necho\r\n");
    let windows = ["hint: /run.sh is there, but with the line ends of Windows"];
    for run in [
        "RUN /run.sh",
        "RUN [\"/run.sh\"]",
        "RUN cp run.sh b.sh; rm run.sh; mv b.sh run.sh; ./run.sh",
    ] {
        bed.write("Dockerfile", format!("FROM base\nCOPY --chmod=755 run.sh /\n{run}\n"));
        let _ = bed.build(&[]).exits_with(1).says(&windows);
    }
    bed.write("Dockerfile", "FROM base\nCOPY --chmod=755 run.sh /\nENTRYPOINT [\"/run.sh\"]\n");
    let _ = bed.build(&["-t", "app"]).succeeds();
    let _ = bed.run(&["run", "app"]).exits_with(127).says(&windows);
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
        let mark = new_mark();
        let dockerfile = format!(
            "FROM base\nRUN echo before > /before\nRUN sleep {mark} & (trap '' INT TERM HUP; \
             sleep {mark}) & echo started-$((1+1)); sleep {mark}\n"
        );
        Self::start_with(bed, args, mark, &dockerfile)
    }

    /// The same with a Dockerfile whose last step says `started-2` and then sleeps three times.
    fn start_with(bed: &Bed, args: &[&str], mark: String, dockerfile: &str) -> Self {
        bed.base();
        bed.write("Dockerfile", dockerfile);
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
        eventually("no mount is left", || mounts_below(bed.path()).is_empty());
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

fn two_interrupts_end_it_at_once(bed: &Bed) {
    let running = Running::start(bed, &[]);
    running.signal(Signal::INT);
    // It may be gone before the second one arrives; then that was not needed.
    let _ = kill_process(Pid::from_child(&running.child.0), Signal::INT);
    let ended = running.end(bed);
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    // What it did not remove itself, the next build does.
    the_next_build_succeeds(bed);
}

/// Of a registry that takes the connection and never says a word.
fn an_interrupt_ends_a_pull(bed: &Bed) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("localhost:{}/silent:1", silent.local_addr().unwrap().port());
    bed.write("Dockerfile", format!("FROM {name}\n"));
    let context = bed.context();
    let build = ["build", "--progress=plain", context.to_str().unwrap()];
    for args in [&build[..], &["pull", &name]] {
        let mut command = bed.command();
        let mut child = command.args(args).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("pulling") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "{args:?} ended");
        }
        let start = Instant::now();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{args:?}");
        assert!(start.elapsed() < Duration::from_secs(30), "it took {:?}", start.elapsed());
    }
    nothing_staged(bed);
}

/// Of somebody who never writes it.
fn an_interrupt_ends_a_wait_for_a_context(bed: &Bed) {
    let mut command = bed.command();
    let mut child = command.args(["build", "-q", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let tasks = format!("/proc/{}/task", child.id());
    eventually("it minds signals", || {
        let names = fs::read_dir(&tasks).unwrap().flatten().map(|task| task.path().join("comm"));
        names.into_iter().any(|name| fs::read(name).is_ok_and(|name| name == b"signals\n"))
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    // Its end of the pipe stays open until then.
    let input = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(input);
    nothing_staged(bed);
}

fn a_killed_builder_leaves_nothing(bed: &Bed) {
    let running = Running::start(bed, &[]);
    running.signal(Signal::KILL);
    let ended = running.end(bed);
    assert_eq!(ended.code, None);
    // What was finished may be lost with the builder; what is there must be right.
    the_next_build_succeeds(bed);
}

/// A change of uid and a set-uid program both make the kernel forget the parent-death signal.
fn a_killed_builder_ends_other_users(bed: &Bed) {
    let mark = new_mark();
    let set_uid = "mkdir /s && cp /bin/sleep /s/sleep && chown ann /s/sleep && chmod 4755 /s/sleep";
    let dockerfile = format!(
        "FROM base\nRUN {set_uid}\nUSER ann\n\
         RUN /s/sleep {mark} & sleep {mark} & echo started-$((1+1)); sleep {mark}\n"
    );
    let running = Running::start_with(bed, &[], mark, &dockerfile);
    running.signal(Signal::KILL);
    let ended = running.end(bed);
    assert_eq!(ended.code, None);
    the_next_build_succeeds(bed);
}

fn the_next_build_succeeds(bed: &Bed) {
    bed.write("Dockerfile", "FROM base\nRUN echo before > /before\nRUN cat /before > /after\n");
    let _ = bed.build(&["-t", "app"]).succeeds();
    nothing_staged(bed);
}

/// Fifty times, each at another moment of a build that does a bit of everything. As the users that
/// root runs it as besides, fewer times.
fn a_builder_killed_at_any_moment(bed: &Bed) {
    let times = if bed.who().is_caller() { 50 } else { 10 };
    bed.base();
    for number in 0..200 {
        bed.write(&format!("tree/{}/{number}", number % 7), "x".repeat(number * 50));
    }
    let mark = new_mark();
    let dockerfile = |round: u32| {
        format!(
            "FROM base AS one\nCOPY tree /one\nRUN echo {round} > /round && sleep 0.02\n\
             FROM base\nCOPY --from=one /one /two\nUSER ann\nRUN sleep {mark} & sleep 0.02\n\
             USER root\nRUN cp -r /two /three && echo {round} > /round\nCOPY tree /four\n"
        )
    };
    bed.write("Dockerfile", dockerfile(times));
    let start = Instant::now();
    let _ = bed.build(&["-t", "app"]).succeeds();
    let whole = start.elapsed();
    let mut moments = Moments::new();
    let (mut killed, mut round) = (0, times);
    while killed < times {
        round += 1;
        assert!(round < 10 * times, "only {killed} were still running when they were killed");
        // Now and then the steps are in the cache, or half of them are.
        bed.write("Dockerfile", dockerfile(round - round % 3 / 2));
        let mut command = bed.build_command(&["-t", "app"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(whole.mul_f64(moments.next()));
        killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    eventually("no process of a step is left", || processes_with(&sleeping(&mark)).is_empty());
    // Those that watch over a step hold the locks of the killed build's folders until they end.
    let here = bed.path().to_str().unwrap().to_owned();
    eventually("no process of a build is left", || processes_with(&here).is_empty());
    // The supervisor of the last one may still be at it.
    eventually("no mount is left", || mounts_below(bed.path()).is_empty());
    bed.write("Dockerfile", dockerfile(round + 1));
    let _ = bed.build(&["-t", "app"]).succeeds();
    nothing_staged(bed);
    // What was kept of the killed builds is right: nothing of it looks different made anew.
    let cached = bed.image("app");
    let _ = bed.build(&["-t", "anew", "--no-cache"]).succeeds();
    let anew = bed.image("anew");
    let copies = |image: &Image| {
        let copied = image.layers.iter().filter(|layer| layer.created_by.starts_with("COPY"));
        copied.map(|layer| layer.diff_id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(copies(&cached), copies(&anew));
}

/// Numbers from 0 to 1, spread evenly and always the same.
struct Moments(f64);

impl Moments {
    fn new() -> Self {
        Self(0.0)
    }

    fn next(&mut self) -> f64 {
        const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
        self.0 = (self.0 + GOLDEN_RATIO).fract();
        self.0
    }
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
