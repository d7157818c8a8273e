//! The command as the worker of a program that has no `main` of its own to be one with.

use dfbuild::worker::Worker;
use dfbuild::{Build, BuildContext, Cancel, Engine, Error, Event};
use dfbuild_testkit::{Skipped, fill_base, run_or_skip};

#[test]
fn the_command_is_a_worker() {
    run_or_skip("the_command_is_a_worker", || {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        fill_base(&base);
        let engine = Engine::open(folder.path().join("store")).unwrap();
        let engine = engine.with_worker(Worker::program(env!("CARGO_BIN_EXE_dfbuild")));
        let build = Build::new(BuildContext::Empty)
            .dockerfile_text("FROM scratch\nCOPY --from=base . /\nRUN echo hello >/greeting\n")
            .build_context("base", BuildContext::Directory(base));
        match build.run(&engine, &|_: &Event| {}, &Cancel::new()) {
            Err(error @ Error::Sandbox { .. }) => return Err(Skipped::because(error.to_string())),
            ended => assert_eq!(ended.unwrap().ran, 2),
        }
        Ok(())
    });
}
