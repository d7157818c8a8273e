//! Caches that machines share: registries, folders, images. Two beds are two machines.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod faults;
mod hits;
mod places;

use std::path::Path;

use dfbuild_testkit::{Bed, DebianRegistry, FaultProxy, RegistrySetup, Skipped, Who, run_or_skip};

/// Runs a test in a bed of whoever runs the tests.
fn check(test: &str, body: impl FnOnce(&Bed) -> Result<(), Skipped>) {
    run_or_skip(&format!("e2e_sharing::{test}"), || body(&bed(Who::Caller)?));
}

fn bed(who: Who) -> Result<Bed, Skipped> {
    Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), who)
}

/// A registry that everybody may use, and what only listens in front of it.
fn registry() -> Result<(DebianRegistry, FaultProxy), Skipped> {
    let registry = DebianRegistry::start(RegistrySetup::default())?;
    let proxy = FaultProxy::start(registry.address(), |_, _, ask| ask());
    Ok((registry, proxy))
}

/// The name of an image behind a proxy.
fn image(proxy: &FaultProxy, name: &str) -> String {
    format!("{}/{name}", proxy.server().address())
}

/// How many steps the project of [`project`] has.
const STEPS: usize = 6;
/// How many of them are of the image.
const STEPS_OF_IMAGE: usize = 4;

/// Makes the context a project of two stages on `base`. `seconds` is when it was checked out.
fn project(bed: &Bed, base: &str, seconds: u64) {
    bed.write("src/main", "main\n");
    bed.write("src/lib/part", "part\n");
    bed.write(
        "Dockerfile",
        format!(
            "FROM {base} AS build\nCOPY src /src\nRUN cat /src/main /src/lib/part > /out\n\
             FROM {base}\nWORKDIR /app\nCOPY --from=build /out /app/out\nRUN echo run > /run.txt\n\
             COPY --chmod=644 src/main /app/main\n"
        ),
    );
    bed.set_times(seconds);
}

/// Puts the base of the tests into a registry and returns its name there.
fn push_base(bed: &Bed, proxy: &FaultProxy) -> String {
    bed.base();
    let name = image(proxy, "base:1");
    bed.write("Dockerfile", "FROM base\n");
    let _ = bed.build(&["-t", &name, "--push"]).succeeds();
    name
}
