//! What events say of what a build takes: processor time, bytes, waits.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dfbuild::sandbox::{Ended, Error, Output as CommandOutput, Spec, Support};
use dfbuild::testing::FakeSandbox;
use dfbuild::{
    Build, BuildContext, Cancel, Compression, CpuTime, Engine, Event, Output, OutputKind,
    PackingState, Sandbox, StepId, StepResult, Usage, Wait,
};
use dfbuild_testkit::noise;
use tempfile::TempDir;

const MEBIBYTE: usize = 1 << 20;

fn of(text: &str) -> Build {
    Build::new(BuildContext::Empty).dockerfile_text(text)
}

fn engine(sandbox: impl Sandbox + 'static) -> (TempDir, Engine) {
    let folder = TempDir::new().unwrap();
    let engine = Engine::open(folder.path().join("store")).unwrap();
    (folder, engine.with_sandbox(sandbox))
}

/// Says of each command that it took a second.
#[derive(Debug)]
struct Timed(FakeSandbox);

const SECOND: CpuTime = CpuTime { user: Duration::from_secs(1), system: Duration::ZERO };

impl Sandbox for Timed {
    fn probe(&self, dir: &Path) -> Result<Support, Error> {
        self.0.probe(dir)
    }

    fn run(
        &self,
        spec: &Spec,
        output: &CommandOutput<'_>,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Ended, Error> {
        let ended = self.0.run(spec, output, is_cancelled)?;
        Ok(Ended { cpu: Some(SECOND), ..ended })
    }
}

fn heard(build: &Build, engine: &Engine) -> Vec<Event> {
    let events = Mutex::new(Vec::new());
    let observer = |event: &Event| events.lock().unwrap().push(event.clone());
    // What failed has events as well.
    let _ = build.clone().run(engine, &observer, &Cancel::new());
    events.into_inner().unwrap()
}

fn usage(events: &[Event], wanted: usize) -> Usage {
    let found = events.iter().find_map(|event| match event {
        Event::Finished {
            step,
            result: StepResult::Ran { usage, .. } | StepResult::Failed { usage, .. },
        } if *step == StepId(wanted) => Some(*usage),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn steps_say_what_they_took() {
    let (_folder, engine) = engine(Timed(FakeSandbox::new(|command| {
        fs::write(command.root().join("made"), vec![7; 3 * MEBIBYTE]).unwrap();
        i32::from(command.line() == "fail")
    })));
    let text = "FROM scratch\nCOPY <<EOF /file\n12345\nEOF\nRUN make\nRUN fail\n";
    let events = heard(&of(text), &engine);
    let copy = usage(&events, 0);
    assert_eq!((copy.command, copy.copied), (None, Some(6)));
    assert!(copy.own.is_some() && copy.layer.unwrap() >= 1024, "{copy:?}");
    let run = usage(&events, 1);
    assert_eq!((run.command, run.copied), (Some(SECOND), None));
    // The file was digested by a thread of this process.
    assert!(run.own.unwrap() > Duration::ZERO, "{run:?}");
    assert!(run.layer.unwrap() > 3 * MEBIBYTE as u64, "{run:?}");
    let failed = usage(&events, 2);
    assert_eq!((failed.command, failed.layer), (Some(SECOND), None));
}

#[test]
fn packing_and_exports_tell_how_far_they_are() {
    let noise = noise(5 * MEBIBYTE);
    let (folder, engine) = engine(FakeSandbox::new(move |command| {
        fs::write(command.root().join("made"), &noise).unwrap();
        0
    }));
    let out = |name: &str| OutputKind::OciArchive(folder.path().join(name));
    let mut zstd = Output::new(out("zstd"));
    zstd.compression = Compression::Zstd { level: 3 };
    let build = of("FROM scratch\nRUN make\n").output(Output::new(out("gzip"))).output(zstd);
    let events = heard(&build, &engine);
    let packing: Vec<PackingState> = events
        .iter()
        .filter_map(|event| match event {
            Event::Packing { step: Some(StepId(0)), size, state } => {
                assert!(*size > 5 * MEBIBYTE as u64);
                Some(*state)
            }
            _ => None,
        })
        .collect();
    let mut parts = packing.split_inclusive(|it| matches!(it, PackingState::Packed { .. }));
    for is_gzip in [true, false] {
        let [PackingState::Moving { done: 0 }, moving @ .., last] = parts.next().unwrap() else {
            panic!("{packing:?}");
        };
        let moved = moving.iter().map(|state| match state {
            PackingState::Moving { done } => *done,
            _ => 0,
        });
        let moved: Vec<u64> = moved.collect();
        assert!(moved.len() >= 3 && moved.is_sorted(), "{packing:?}");
        let PackingState::Packed { blob_size, cpu, .. } = last else { panic!("{packing:?}") };
        assert!(*blob_size > 5 * MEBIBYTE as u64, "{packing:?}");
        // The threads of zstd are its own.
        assert_eq!(cpu.is_some(), is_gzip, "{packing:?}");
    }
    assert!(parts.next().is_none(), "{packing:?}");
    for name in ["gzip", "zstd"] {
        let told = events.iter().filter_map(|event| match event {
            Event::TaskProgress { what, done, size } if what.ends_with(name) => Some((done, size)),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        assert!(told.len() >= 3 && told.is_sorted(), "{told:?}");
        assert!(told.iter().all(|(done, size)| done <= size), "{told:?}");
    }
}

/// Builds in which a command goes on once somebody waits for it. Returns the waits.
fn waits(texts: &[&str]) -> Vec<(Wait, bool)> {
    let somebody = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&somebody);
    let (_folder, engine) = engine(FakeSandbox::new(move |_| {
        while !told.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        0
    }));
    let waits = Mutex::new(Vec::new());
    let observer = |event: &Event| match event {
        Event::Waiting { wait, .. } => {
            waits.lock().unwrap().push((wait.clone(), false));
            somebody.store(true, Ordering::SeqCst);
        }
        Event::Waited { wait, .. } => waits.lock().unwrap().push((wait.clone(), true)),
        _ => {}
    };
    thread::scope(|scope| {
        for text in texts {
            scope.spawn(|| of(text).run(&engine, &observer, &Cancel::new()).unwrap());
        }
    });
    waits.into_inner().unwrap()
}

#[test]
fn waits_begin_and_end() {
    let waited = waits(&["FROM scratch\nRUN make\n"; 2]);
    let [(Wait::Build { pid, .. }, false), (Wait::Build { .. }, true)] = &waited[..] else {
        panic!("{waited:?}");
    };
    assert_eq!(*pid, std::process::id());

    let mount = "RUN --mount=type=cache,target=/cache,sharing=locked";
    let text = format!(
        "FROM scratch AS a\n{mount} one\nFROM scratch AS b\n{mount} two\n\
         FROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
    );
    let wait = Wait::CacheMount { target: "/cache".to_owned() };
    assert_eq!(waits(&[&text]), [(wait.clone(), false), (wait, true)]);
}
