//! Eight builds at once in a program with a tokio runtime, three of which are cancelled, as a build
//! server would do them; afterwards nothing is left of them but the images.
//!
//! `cargo run --example server -- STORE BASE [--no-worker]`: where BASE is a folder with a root file
//! system that has a shell, and STORE a folder for the store. As root as well as as an ordinary user;
//! only root can do without the worker.
#![expect(clippy::print_stdout, reason = "an example for people to run")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, thread};

use dfbuild::worker::{self, Worker};
use dfbuild::{Build, BuildContext, Built, Cancel, Engine, Event};
use tokio::runtime;

const DOCKERFILE: &str = "FROM scratch\nCOPY --from=base . /\nARG NUMBER SECONDS\n\
    RUN echo \"build $NUMBER runs\" && echo $NUMBER >/number && sleep $SECONDS\n";

/// Not `#[tokio::main]`: that has threads before the first line here.
fn main() -> ExitCode {
    if let Some(code) = worker::serve_if_asked(env::args_os()) {
        return code;
    }
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed to {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [store, base, rest @ ..] = args.as_slice() else {
        return Err("be used: server STORE BASE [--no-worker]".into());
    };
    let mut engine = Engine::open(store)?;
    let worker = rest.is_empty().then(Worker::this_program);
    if let Some(worker) = &worker {
        worker.start()?;
        engine = engine.with_worker(worker.clone());
    }
    let (engine, worker) = (Arc::new(engine), worker.as_ref());
    let before = Counts::take(worker, Path::new(store));
    {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).build()?;
        runtime.block_on(build_all(&engine, base));
    } // The runtime waits for its threads here.
    let mut after = Counts::take(worker, Path::new(store));
    // A thread that was waited for may still be listed for a moment.
    for _ in 0..500 {
        if after == before {
            println!("nothing left over: {before:?}");
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
        after = Counts::take(worker, Path::new(store));
    }
    Err(format!("clean up: {before:?} before, {after:?} after").into())
}

async fn build_all(engine: &Arc<Engine>, base: &str) {
    let builds = (1..=8).map(|number| {
        let (engine, base) = (Arc::clone(engine), base.to_owned());
        // A build blocks, so it is not for the threads that run tasks.
        tokio::task::spawn_blocking(move || (number, build(&engine, &base, number)))
    });
    for build in builds.collect::<Vec<_>>() {
        match build.await.expect("a build does not panic") {
            (number, Ok(built)) => println!("build {number}: {} steps ran", built.ran),
            (number, Err(error)) => println!("build {number}: failed to {error}"),
        }
    }
}

/// Every third build would take an hour, and is cancelled once its command has begun.
fn build(engine: &Engine, base: &str, number: u32) -> Result<Built, dfbuild::Error> {
    let is_long = number.is_multiple_of(3) || number == 8;
    let cancel = Cancel::new();
    let observer = |event: &Event| {
        if matches!(event, Event::Output { .. }) && is_long {
            cancel.cancel();
        }
    };
    Build::new(BuildContext::Empty)
        .dockerfile_text(DOCKERFILE)
        .build_context("base", BuildContext::Directory(base.into()))
        .build_arg("NUMBER", number.to_string())
        .build_arg("SECONDS", if is_long { "3600" } else { "0" })
        .tag(format!("number:{number}"))
        .run(engine, &observer, &cancel)
}

/// What a build could leave behind, in this process, in the worker, and on the disk.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    descriptors: [usize; 2],
    threads: [usize; 2],
    mounts: [usize; 2],
    processes: usize,
    temporary_files: usize,
}

impl Counts {
    fn take(worker: Option<&Worker>, store: &Path) -> Self {
        let worker = worker.and_then(Worker::pid);
        // Without one everything is in this process.
        let worker = worker.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let entries = |folder: String| fs::read_dir(folder).map_or(0, Iterator::count);
        let lines = |file: String| fs::read_to_string(file).map_or(0, |text| text.lines().count());
        let both = [String::from("self"), worker.clone()];
        let children = |process: &str| {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
            let lists =
                tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")));
            lists.flatten().map(|list| list.split_whitespace().count()).sum::<usize>()
        };
        Self {
            descriptors: both.clone().map(|process| entries(format!("/proc/{process}/fd"))),
            threads: both.clone().map(|process| entries(format!("/proc/{process}/task"))),
            mounts: both.clone().map(|process| lines(format!("/proc/{process}/mountinfo"))),
            processes: children("self") + children(&worker),
            temporary_files: entries(store.join("staging").display().to_string())
                + entries(env::temp_dir().display().to_string()),
        }
    }
}
