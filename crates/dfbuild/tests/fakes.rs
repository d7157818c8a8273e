//! A sandbox and a registry of the embedder's.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dfbuild::remote::{
    BlobSink, ClientOptions, Error as RemoteError, MediaType, Proxy, Pushed, RemoteManifest,
    RetryPolicy,
};
use dfbuild::testing::{FakeSandbox, MemoryRegistry};
use dfbuild::worker::Worker;
use dfbuild::{
    Build, BuildContext, Cancel, Descriptor, Digest, Engine, Error, Event, Output, OutputKind,
    Reference, Registry, Secret, SecretSource, StepError,
};
use tempfile::TempDir;

fn of(text: &str) -> Build {
    Build::new(BuildContext::Empty).dockerfile_text(text)
}

fn nobody(_: &Event) {}

fn engine() -> (TempDir, Engine) {
    let folder = TempDir::new().unwrap();
    let engine = Engine::open(folder.path().join("store")).unwrap();
    (folder, engine)
}

#[test]
fn what_a_closure_changes_becomes_the_layer() {
    let (folder, engine) = engine();
    let engine = engine.with_sandbox(FakeSandbox::new(|command| {
        let root = command.root();
        match command.line() {
            "make" => {
                assert_eq!(fs::read(root.join("source")).unwrap(), b"text\n");
                fs::write(root.join("made"), command.env("WITH").unwrap()).unwrap();
                fs::remove_file(root.join("source")).unwrap();
                0
            }
            _ => 127,
        }
    }));
    let out = folder.path().join("out");
    let text = "FROM scratch\nCOPY <<EOF /source\ntext\nEOF\nENV WITH=care\nRUN make\n";
    let output = Output::new(OutputKind::Directory(out.clone()));
    let built = of(text).output(output).run(&engine, &nobody, &Cancel::new()).unwrap();
    assert_eq!(built.ran, 2);
    assert_eq!(fs::read(out.join("made")).unwrap(), b"care");
    assert!(!out.join("source").exists());
    let again = of(text).run(&engine, &nobody, &Cancel::new()).unwrap();
    assert_eq!((again.image_id, again.cached, again.ran), (built.image_id, 2, 0));
}

#[test]
fn what_has_no_files_can_be_copied_and_mounted() {
    let (folder, engine) = engine();
    let engine = engine.with_sandbox(FakeSandbox::new(|_| 0));
    let out = folder.path().join("out");
    let text = "FROM scratch AS empty\nFROM scratch\nCOPY --from=empty / /stage/\n\
                COPY --from=scratch / /scratch/\n\
                RUN --mount=from=empty,target=/a --mount=from=scratch,target=/b \
                --mount=type=cache,from=scratch,target=/c make\n";
    let output = Output::new(OutputKind::Directory(out.clone()));
    of(text).output(output).run(&engine, &nobody, &Cancel::new()).unwrap();
    assert!(out.join("stage").is_dir() && out.join("scratch").is_dir());
}

#[test]
fn proxies_and_secrets_win_over_the_variables_of_the_image() {
    let (_folder, engine) = engine();
    let engine = engine.with_sandbox(FakeSandbox::new(|command| {
        assert_eq!(command.env("http_proxy"), Some("proxy"));
        assert_eq!(command.env("TOKEN"), Some("secret"));
        assert_eq!(command.env("HOME"), Some("/"));
        0
    }));
    let text = "FROM scratch\nENV http_proxy=own TOKEN=own\n\
                RUN --mount=type=secret,id=token,env=TOKEN make\n";
    let token = Secret { id: "token".to_owned(), source: SecretSource::Value(b"secret".to_vec()) };
    let build = of(text).build_arg("HTTP_PROXY", "proxy").secret(token);
    build.run(&engine, &nobody, &Cancel::new()).unwrap();
}

#[test]
fn a_context_that_changes_under_a_command_is_told_of() {
    let (folder, engine) = engine();
    let context = folder.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("file"), "one").unwrap();
    let file = context.join("file");
    let engine = engine.with_sandbox(FakeSandbox::new(move |command| {
        if command.line() == "touch" {
            fs::write(&file, "three").unwrap();
        }
        0
    }));
    let run = |command: &str| {
        let text = format!("FROM scratch\nRUN --mount=type=bind,target=/c {command}\n");
        Build::new(&*context).dockerfile_text(text).run(&engine, &nobody, &Cancel::new())
    };
    run("look").unwrap();
    let error = run("touch").unwrap_err();
    let Error::Step { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, StepError::ContextChanged { .. }), "{source}");
    // It is not kept as the result for what the context was.
    assert_eq!(run("look").unwrap().ran, 1);
}

#[test]
fn exit_codes_output_and_cancellation_are_those_of_a_command() {
    let (_folder, engine) = engine();
    let engine = engine.with_sandbox(FakeSandbox::new(|command| {
        command.print("out with the pass");
        command.print("word-of-the-test\n");
        command.print_error("err\n");
        if command.line() == "hang" {
            command.hang();
        }
        3
    }));
    let heard = Mutex::new(String::new());
    let cancel = Cancel::new();
    let observer = |event: &Event| {
        if let Event::Output { bytes, .. } = event {
            heard.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        }
    };
    let source = SecretSource::Value(b"password-of-the-test".to_vec());
    let secret = Secret { id: "x".into(), source };
    let build = of("FROM scratch\nRUN fail\n").secret(secret);
    let error = build.run(&engine, &observer, &cancel).unwrap_err();
    let Error::Step { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, StepError::ExitCode { code: 3, .. }), "{source}");
    let heard = heard.into_inner().unwrap();
    assert!(heard.contains("err\n") && heard.contains("out with the "), "{heard}");
    assert!(!heard.contains("word-of"), "{heard}");

    let observer = |event: &Event| {
        if matches!(event, Event::Output { .. }) {
            cancel.cancel();
        }
    };
    let error = of("FROM scratch\nRUN hang\n").run(&engine, &observer, &cancel).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
}

/// The kernel says of a script without its interpreter that it is not there itself.
#[test]
fn a_script_whose_interpreter_is_not_there() {
    let (folder, engine) = engine();
    let engine = engine.with_sandbox(FakeSandbox::new(|_| 127));
    let context = folder.path().join("context");
    fs::create_dir(&context).unwrap();
    for (name, text) in [
        ("windows.sh", "#!/bin/sh -e\r\nexit\r\n"),
        ("bash.sh", "#!/bin/bash -e\n"),
        ("good.sh", "#!/good.sh\n"),
    ] {
        fs::write(context.join(name), text).unwrap();
    }
    let windows = "/windows.sh is there, but with the line ends of Windows: what is looked for is `/bin/sh -e\\r`.";
    let bash =
        "/bash.sh is there, but not the interpreter that its first line names: install /bin/bash";
    for (run, expect) in [
        ("RUN [\"/windows.sh\"]", windows),
        ("RUN good.sh && A=1 exec ./windows.sh", windows),
        ("RUN bash.sh", bash),
        ("RUN <<EOF\n#!/bin/python3\nEOF", "/dev/pipes/EOF is there, but not the interpreter"),
        ("RUN good.sh", "exit code 127: "),
        ("RUN cat windows.sh", "exit code 127: "),
        // It is not for its first line that this cannot be executed.
        ("RUN plain.sh", "exit code 127: "),
    ] {
        let text = format!(
            "FROM scratch\nENV PATH=/bin:/\nCOPY --chmod=644 windows.sh /plain.sh\nCOPY --chmod=755 . /\n{run}\n"
        );
        let build = Build::new(context.as_path()).dockerfile_text(&text);
        let error = build.run(&engine, &nobody, &Cancel::new()).unwrap_err();
        let hint = error.hint().unwrap_or_else(|| panic!("{run}: {error:?}"));
        assert!(hint.starts_with(expect), "{run}: {hint}");
    }
}

#[test]
fn images_go_to_a_registry_in_memory_and_come_from_there() {
    let registry = MemoryRegistry::new();
    let (_here, here) = engine();
    let here = here.with_registry(registry.clone());
    let text = "FROM scratch\nCOPY <<EOF /file\ntext\nEOF\n";
    let first = of(text).tag("r.example/base:1").push(true);
    let first = first.run(&here, &nobody, &Cancel::new()).unwrap();
    assert_eq!(registry.names(), ["r.example/base:1"]);
    // Its layer and its configuration.
    assert_eq!(registry.blobs(), 2);

    let (_there, there) = engine();
    let there = there.with_registry(registry.clone());
    let second = of("FROM r.example/base:1\nLABEL a=b\n").tag("r.example/app").push(true);
    let second = second.run(&there, &nobody, &Cancel::new()).unwrap();
    assert_eq!((second.layers, first.layers), (1, 1));
    assert_eq!(registry.names(), ["r.example/app:latest", "r.example/base:1"]);

    let error = of("FROM r.example/none\n").run(&there, &nobody, &Cancel::new()).unwrap_err();
    assert!(error.to_string().contains("`r.example` answered 404"), "{error}");
}

/// A registry that gives other bytes than it was given.
#[derive(Debug)]
struct Liar(MemoryRegistry);

impl Registry for Liar {
    fn manifest(&self, reference: &Reference) -> Result<RemoteManifest, RemoteError> {
        self.0.manifest(reference)
    }

    fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        sink: &mut dyn BlobSink,
        progress: &dyn Fn(u64),
    ) -> Result<(), RemoteError> {
        self.0.blob(reference, descriptor, sink, progress)?;
        let action = "lie".to_owned();
        sink.write(b"?").map_err(|source| RemoteError::Sink { action, source })
    }

    fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        open: &dyn Fn() -> io::Result<Box<dyn Read>>,
        mount_from: Option<&Reference>,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, RemoteError> {
        self.0.push_blob(reference, descriptor, open, mount_from, progress)
    }

    fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &MediaType,
        bytes: &[u8],
    ) -> Result<Digest, RemoteError> {
        self.0.push_manifest(reference, media_type, bytes)
    }
}

#[test]
fn no_byte_of_a_registry_is_believed() {
    let registry = MemoryRegistry::new();
    let (_here, here) = engine();
    let here = here.with_registry(registry.clone());
    let base = of("FROM scratch\nLABEL a=b\n").tag("r.example/base").push(true);
    base.run(&here, &nobody, &Cancel::new()).unwrap();
    let (_there, there) = engine();
    let there = there.with_registry(Liar(registry));
    let error = of("FROM r.example/base\n").run(&there, &nobody, &Cancel::new()).unwrap_err();
    assert!(error.to_string().contains("sent other bytes"), "{error}");
}

#[test]
fn they_cannot_go_to_a_worker() {
    let (_folder, engine) = engine();
    let engine = engine.with_sandbox(FakeSandbox::new(|_| 0)).with_worker(Worker::this_program());
    let error = of("FROM scratch\n").run(&engine, &nobody, &Cancel::new()).unwrap_err();
    assert!(matches!(error, Error::Worker { .. }), "{error}");
}

/// A base of the store that is for one platform only: an index with one name twice could not be used.
#[test]
fn an_index_names_what_was_asked_for() {
    let (_folder, engine) = engine();
    let base = of("FROM scratch\nLABEL base=yes\n").tag("base");
    base.platform("linux/amd64".parse().unwrap()).run(&engine, &nobody, &Cancel::new()).unwrap();
    let asked = ["linux/arm64".parse().unwrap(), "linux/amd64".parse().unwrap()];
    let both = asked.iter().cloned().fold(of("FROM base\nLABEL a=b\n"), Build::platform);
    let built = both.run(&engine, &nobody, &Cancel::new()).unwrap();
    assert_eq!(built.platforms, asked);
}

/// As BuildKit does (`dockerui.Client.ReadEntrypoint`).
#[test]
fn a_dockerfile_may_be_in_lower_case() {
    let (folder, engine) = engine();
    let context = folder.path().join("context");
    fs::create_dir(&context).unwrap();
    let build = Build::new(BuildContext::Directory(context.clone()));
    let error = build.clone().run(&engine, &nobody, &Cancel::new()).unwrap_err();
    let Error::NoDockerfile { path, .. } = error else { panic!("{error}") };
    assert_eq!(path, context.join("Dockerfile"));
    for (name, stage) in
        [("dockerfile", "FROM scratch\n"), ("Dockerfile", "FROM scratch\nCOPY gone /\n")]
    {
        fs::write(context.join(name), stage).unwrap();
        let ended = build.clone().run(&engine, &nobody, &Cancel::new());
        assert_eq!(ended.is_ok(), name == "dockerfile", "{ended:?}");
    }
}

/// A name that is nearly a stage's is not asked for again and again where nobody answers.
#[test]
fn who_likely_means_a_stage_does_not_wait_for_a_network() {
    let retries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&retries);
    let network = ClientOptions {
        // Nothing listens there.
        proxy: Proxy { https: Some("http://127.0.0.1:1".to_owned()), ..Proxy::default() },
        retry: RetryPolicy { first_wait: Duration::ZERO, ..RetryPolicy::default() },
        on_retry: Some(Arc::new(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
        })),
        ..ClientOptions::default()
    };
    let (_folder, engine) = engine();
    let engine = engine.with_network(network);
    for (text, expect, hint) in [
        ("FROM scratch AS tools\nFROM toosl\n", 0, "did you mean the stage `tools`?"),
        (
            "FROM scratch AS tools\nFROM scratch\nCOPY --from=tool / /\n",
            0,
            "did you mean the stage `tools`?",
        ),
        // What an image is called, many a stage upon it is as well.
        ("FROM own AS own\n", 2, "stage `own` cannot be its own base"),
    ] {
        retries.store(0, Ordering::Relaxed);
        let error = of(text).run(&engine, &nobody, &Cancel::new()).unwrap_err();
        let found = error.hint().unwrap_or_else(|| panic!("{text}: {error}"));
        assert!(found.starts_with(hint), "{found}");
        assert_eq!(retries.load(Ordering::Relaxed), expect, "{text}");
    }
}

#[test]
fn a_failed_step_that_cannot_be_kept_says_so() {
    let (folder, engine) = engine();
    let engine = engine.with_sandbox(FakeSandbox::new(|_| 3));
    // Nothing can be put there.
    fs::write(folder.path().join("store/failed"), "").unwrap();
    let error = of("FROM scratch\nRUN make\n").run(&engine, &nobody, &Cancel::new()).unwrap_err();
    let Error::Step { source, .. } = &error.relayed() else { panic!() };
    let StepError::NotKept { failed, .. } = &**source else { panic!("{source}") };
    assert!(matches!(**failed, StepError::ExitCode { code: 3, .. }), "{failed}");
}
