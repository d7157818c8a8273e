use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use dfbuild::{Engine, Error, SnapshotterChoice, rootless};

use crate::args::RegistryArgs;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::source::Source;
use crate::{git_program, registry, report};

/// Opens the store for builds. To be called before any thread exists: the kernel lets only a
/// process with one enter a user namespace.
pub(crate) fn open(root: PathBuf, snapshotter: SnapshotterChoice) -> Result<Engine, Error> {
    let git = git_program::find(&|name| env::var_os(name));
    let refused = rootless::enter().err();
    let mut engine = Engine::open(root)?.with_snapshotter(snapshotter);
    // Without a namespace no command can run, but everything else can be built.
    if let Some(reason) = refused {
        engine = engine.refusing_commands(reason);
    }
    if let Some(git) = git {
        engine = engine.with_git(git);
    }
    Ok(engine)
}

/// Gives the engine its way to registries. `progress` shows what has to be tried again.
pub(crate) fn connect(
    engine: Result<Engine, Error>,
    args: &RegistryArgs,
    progress: &Arc<Progress>,
) -> Result<Engine, ExitCode> {
    let engine =
        engine.map_err(|error| report::failure(&Failure::of(&error, &Source::default())))?;
    let options = registry::network(args, progress).map_err(|error| {
        progress.close();
        report::error(&dfbuild::with_causes(&*error))
    })?;
    Ok(engine.with_network(options))
}
