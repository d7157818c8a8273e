//! Builds in a worker process, from a program with threads, as a test is. The worker is the example
//! `server`, whose `main` begins as an embedder's has to.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod common;

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::example;
use dfbuild::remote::{Anonymous, ClientOptions, Credential, Credentials};
use dfbuild::worker::Worker;
use dfbuild::{
    Build, BuildContext, Built, Cancel, ContextStream, Difference, DifferentPart, Engine, Error,
    Event, Run, RunEnd, Secret, SecretSource, Signaller, StepError, Streams,
};
use dfbuild_testkit::{
    Bed, DebianRegistry, RegistrySetup, Skipped, Who, eventually, fill_base, run_or_skip,
};
use tempfile::TempDir;

/// A store, a base, and an engine with a worker.
struct World {
    folder: TempDir,
    engine: Engine,
    worker: Worker,
}

impl World {
    fn new() -> Result<Self, Skipped> {
        let folder = TempDir::new().unwrap();
        fill_base(&folder.path().join("base"));
        let worker = Worker::program(example("server"));
        let engine = Engine::open(folder.path().join("store")).unwrap();
        let world = Self { folder, engine: engine.with_worker(worker.clone()), worker };
        match world.build(&format!("{BASE}RUN true\n")) {
            Ok(_) => Ok(world),
            Err(error @ Error::Sandbox { .. }) => Err(Skipped::because(error.to_string())),
            Err(error) => panic!("{error}"),
        }
    }

    fn of(&self, dockerfile: &str) -> Build {
        let base = BuildContext::Directory(self.folder.path().join("base"));
        let text = dockerfile.to_owned();
        Build::new(BuildContext::Empty).dockerfile_text(text).build_context("base", base)
    }

    fn build(&self, dockerfile: &str) -> Result<Built, Error> {
        self.of(dockerfile).run(&self.engine, &|_: &Event| {}, &Cancel::new())
    }
}

const BASE: &str = "FROM scratch\nCOPY --from=base . /\n";

fn test(name: &str, body: impl FnOnce(&World)) {
    run_or_skip(name, || {
        body(&World::new()?);
        Ok(())
    });
}

#[test]
fn eight_builds_of_which_three_are_cancelled_leave_nothing() {
    let with_worker = [Who::Caller, Who::Mapped, Who::SingleId].map(|who| (who, None));
    let is_root = Who::Caller.is_root();
    let without = is_root.then_some((Who::Caller, Some("--no-worker")));
    for (who, option) in with_worker.into_iter().chain(without) {
        run_or_skip(&format!("eight builds as {who:?}"), || {
            let bed = Bed::new(&example("server"), who)?;
            let (base, temporary) = (bed.join("base"), bed.join("temporary"));
            fill_base(&base);
            std::fs::create_dir(&temporary).unwrap();
            bed.own(&temporary);
            let mut server = bed.command();
            server.arg(bed.store()).arg(base).args(option).env("TMPDIR", temporary);
            let text = String::from_utf8(server.output().unwrap().stdout).unwrap();
            if text.contains("run commands on this machine") {
                return Err(Skipped::because(text));
            }
            assert!(text.contains("\nnothing left over: "), "{who:?}: {text}");
            let cancelled = text.matches("failed to finish the build: it was cancelled").count();
            assert_eq!((text.matches("ran\n").count(), cancelled), (5, 3), "{who:?}: {text}");
            Ok(())
        });
    }
}

#[test]
fn events_and_errors_keep_their_types() {
    test("worker: events and errors", |world| {
        let heard = Mutex::new(Vec::new());
        let observer = |event: &Event| heard.lock().unwrap().push(event.clone());
        let build = world.of(&format!("{BASE}RUN echo out && echo err >&2 && exit 3\n"));
        let error = build.run(&world.engine, &observer, &Cancel::new()).unwrap_err();
        let Error::Step { step, source } = error else { panic!("{error}") };
        assert_eq!(step.line, 3);
        assert!(matches!(*source, StepError::ExitCode { code: 3, .. }), "{source}");
        let heard = heard.into_inner().unwrap();
        assert!(matches!(&heard[0], Event::Planned { steps } if steps.len() == 2), "{heard:?}");
        let output = heard.iter().filter_map(|event| match event {
            Event::Output { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        });
        let mut output: Vec<String> = output.collect();
        output.sort();
        assert_eq!(output, ["err\n", "out\n"]);

        let error = world.build("FROM scratch\nRUM true\n").unwrap_err();
        let Error::Dockerfile { diagnostics, .. } = error else { panic!("{error}") };
        assert_eq!(diagnostics[0].suggestion.as_deref(), Some("RUN"));
    });
}

#[test]
fn what_the_embedder_has_reaches_the_build() {
    test("worker: streamed contexts and secrets", |world| {
        let mut archive = Vec::new();
        let text = format!(
            "{BASE}COPY note /\nRUN --mount=type=secret,id=word test $(cat /run/secrets/word) = \
             a-secret-of-the-embedder && test $(cat /note) = hello\n"
        );
        let mut tar = tar::Builder::new(&mut archive);
        for (name, content) in [("Dockerfile", text.as_str()), ("note", "hello\n")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        drop(tar);
        let value = SecretSource::Value(b"a-secret-of-the-embedder".to_vec());
        let stream = ContextStream::new(std::io::Cursor::new(archive));
        let base = BuildContext::Directory(world.folder.path().join("base"));
        let build = Build::new(BuildContext::Stream(stream))
            .build_context("base", base)
            .secret(Secret { id: "word".into(), source: value })
            .tag("streamed");
        let image = build.run(&world.engine, &|_: &Event| {}, &Cancel::new()).unwrap();
        assert_eq!(image.tags[0].familiar_name(), "streamed");
        // The store is the same, so what needs no commands works here.
        assert_eq!(world.engine.images().unwrap()[0].id, image.image_id);
    });
}

/// Runs a command in the image `app`, and returns how it ended and what it wrote.
fn run(world: &World, script: &str, started: &dyn Fn(Signaller)) -> (RunEnd, String) {
    let (mut ours, theirs) = std::io::pipe().unwrap();
    let streams = Streams {
        input: std::fs::File::open("/dev/null").unwrap().into(),
        output: theirs.try_clone().unwrap().into(),
        error: theirs.into(),
        controls_terminal: false,
    };
    let run = Run::image("app").args(["sh", "-c", script]).env("A", "b");
    let end = run.start(&world.engine, streams, started).unwrap();
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    (end, text)
}

#[test]
fn commands_run_in_the_worker_with_the_streams_of_the_embedder() {
    test("worker: commands", |world| {
        let build = world.of(&format!("{BASE}RUN echo made > /made\n")).tag("app");
        build.run(&world.engine, &|_: &Event| {}, &Cancel::new()).unwrap();
        let (end, text) = run(world, "cat /made; echo $A >&2; exit 3", &|_| {});
        assert_eq!((end, text.as_str()), (RunEnd::Code(3), "made\nb\n"));
        let (end, _) = run(world, "sleep 3600", &|command| command.kill());
        assert_eq!(end, RunEnd::Signal(9));
        let missing = Run::image("app").args(["nope"]);
        let null = || std::fs::File::open("/dev/null").unwrap().into();
        let streams =
            || Streams { input: null(), output: null(), error: null(), controls_terminal: false };
        let end = missing.start(&world.engine, streams(), &|_| {}).unwrap();
        assert!(matches!(end, RunEnd::NotStarted { code: 127, .. }), "{end:?}");
        let error = Run::image("other").start(&world.engine, streams(), &|_| {}).unwrap_err();
        assert!(matches!(error, Error::Image { .. }), "{error}");
    });
}

#[test]
fn a_worker_verifies() {
    test("worker: verify", |world| {
        let verify = |text: &str| {
            let build = world.of(text).build_arg("SOURCE_DATE_EPOCH", "0");
            let loaded = build.load(&world.engine, &|_: &Event| {}, &Cancel::new()).unwrap();
            loaded.verify(&|_: &Event| {}).unwrap().difference
        };
        assert_eq!(verify(&format!("{BASE}RUN echo same > /same\n")), None);
        let random = format!("{BASE}RUN cat /proc/sys/kernel/random/uuid > /id\n");
        let Some(Difference { part: DifferentPart::File { path, .. }, .. }) = verify(&random)
        else {
            panic!("no file differs")
        };
        assert_eq!(path, "/id");
    });
}

/// Credentials that exist in this process only.
#[derive(Debug)]
struct Ours(AtomicUsize);

impl Credentials for Ours {
    fn get(&self, _registry: &str) -> Result<Option<Credential>, dfbuild::remote::Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Credential::Basic { user: "me".to_owned(), password: "secret".to_owned() }))
    }
}

#[test]
fn a_worker_asks_the_embedder_for_credentials() {
    run_or_skip("worker: credentials", || {
        let registry = DebianRegistry::start(RegistrySetup { password: true, tls: false })?;
        let world = World::new()?;
        let name = format!("{}/app:1", registry.address());
        let credentials = Arc::new(Ours(AtomicUsize::new(0)));
        let options = |credentials| ClientOptions { credentials, ..ClientOptions::default() };
        let engine = |store: &str, credentials| {
            let engine = Engine::open(world.folder.path().join(store)).unwrap();
            engine.with_network(options(credentials)).with_worker(world.worker.clone())
        };
        let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nLABEL a=b\n");
        let here = engine("store", credentials.clone());
        build.tag(&name).push(true).run(&here, &|_: &Event| {}, &Cancel::new()).unwrap();
        assert!(credentials.0.load(Ordering::Relaxed) > 0);

        let from = Build::new(BuildContext::Empty).dockerfile_text(format!("FROM {name}\n"));
        let there = engine("other", credentials);
        from.run(&there, &|_: &Event| {}, &Cancel::new()).unwrap();
        let stranger = engine("third", Arc::new(Anonymous));
        let error = from.run(&stranger, &|_: &Event| {}, &Cancel::new()).unwrap_err();
        assert!(error.to_string().contains("answered 401"), "{error}");
        Ok(())
    });
}

#[test]
fn a_worker_that_dies_is_an_error_and_the_next_build_has_another() {
    test("worker: death of the worker", |world| {
        let dead = world.worker.pid().unwrap();
        let kill = |event: &Event| {
            if matches!(event, Event::Output { .. }) {
                let status = Command::new("kill").args(["-9", &dead.to_string()]).status();
                assert!(status.unwrap().success());
            }
        };
        let build = world.of(&format!("{BASE}RUN echo begun && sleep 3600\n"));
        let error = build.run(&world.engine, &kill, &Cancel::new()).unwrap_err();
        let Error::Worker { reason, .. } = &error else { panic!("{error}") };
        assert_eq!(*reason, format!("process {dead} was killed by signal 9"));
        world.build(&format!("{BASE}RUN echo again\n")).unwrap();
        assert_ne!(world.worker.pid().unwrap(), dead);
    });
}

#[test]
fn a_program_that_is_no_worker_is_told_of() {
    let folder = TempDir::new().unwrap();
    for (program, expected) in [
        ("/bin/true", "did not become one: process"),
        ("/does/not/exist", "start /does/not/exist: "),
    ] {
        let engine = Engine::open(folder.path()).unwrap();
        let engine = engine.with_worker(Worker::program(program));
        let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\n");
        let error = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap_err();
        let Error::Worker { reason, .. } = &error else { panic!("{error}") };
        assert!(reason.contains(expected), "{reason}");
    }
}

/// Says that this process is the embedder of the test below.
const EMBEDDER: &str = "DFBUILD_TEST_EMBEDDER";

#[test]
fn a_worker_does_not_outlive_its_embedder() {
    if env::var_os(EMBEDDER).is_some() {
        return test("worker: an embedder", |world| {
            let tell = |event: &Event| {
                if let Event::Output { .. } = event {
                    println!("\nworker {}", world.worker.pid().unwrap());
                }
            };
            let build = world.of(&format!("{BASE}RUN echo begun && sleep 3600\n"));
            let ended = build.run(&world.engine, &tell, &Cancel::new());
            panic!("nobody killed this process: {ended:?}");
        });
    }
    test("worker: death of the embedder", |world| {
        let mut embedder = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "a_worker_does_not_outlive_its_embedder"])
            .env(EMBEDDER, "1")
            // What it leaves when it is killed goes with this world.
            .env("TMPDIR", world.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(embedder.stdout.take().unwrap()).lines();
        let mut told = lines.map_while(Result::ok);
        let pid = told.find_map(|line| line.strip_prefix("worker ").map(str::to_owned)).unwrap();
        let worker = format!("/proc/{pid}/cmdline");
        assert!(Path::new(&worker).exists());
        embedder.kill().unwrap();
        embedder.wait().unwrap();
        // A zombie has an empty command line until its new parent has waited for it.
        let is_gone = || std::fs::read(&worker).map_or(true, |line| line.is_empty());
        eventually("the worker is gone", is_gone);
    });
}

#[test]
fn a_store_that_was_made_anew_is_another_one() {
    test("worker: another store at the same place", |world| {
        let folder = world.folder.path();
        std::fs::rename(folder.join("store"), folder.join("old")).unwrap();
        let engine = Engine::open(folder.join("store")).unwrap().with_worker(world.worker.clone());
        let build = world.of(&format!("{BASE}RUN true\n"));
        let image = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap();
        assert_eq!((image.cached, image.ran), (0, 2));
        // Nothing of the first one is held open.
        let pid = world.worker.pid().unwrap();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let open = open.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
        let of_store: Vec<_> = open.filter(|path| path.starts_with(folder)).collect();
        assert!(of_store.is_empty(), "{of_store:?}");
    });
}

#[test]
fn names_that_are_no_text_go_to_the_worker_and_back() {
    use std::os::unix::ffi::OsStrExt;

    test("worker: names that are no text", |world| {
        let context = world.folder.path().join("context");
        let file = context.join(std::ffi::OsStr::from_bytes(b"a\xff"));
        std::fs::create_dir(&context).unwrap();
        let base = BuildContext::Directory(world.folder.path().join("base"));
        let build = Build::new(BuildContext::Directory(context))
            .dockerfile_text(format!("{BASE}COPY . /made/\nRUN test -s /made/a*\n"))
            .build_context("base", base);
        for content in ["one", "two"] {
            std::fs::write(&file, content).unwrap();
            let image = build.run(&world.engine, &|_: &Event| {}, &Cancel::new()).unwrap();
            assert_eq!(image.ran, 2, "{content}");
        }
    });
}
