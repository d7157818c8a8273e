use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf, absolute};

use dfbuild_layer::Limits;
use dfbuild_remote::git::Git;
use serde::{Deserialize, Serialize};

use crate::build::{Build, Dockerfile};
use crate::engine::Engine;
use crate::options::{
    BuildContext, ContextStream, OutputKind, Secret, SecretSource, SnapshotterChoice, StoreLimit,
};
use crate::sharing::{CacheSource, CacheTarget};

/// A build, and the engine it is to be done with.
#[derive(Serialize, Deserialize)]
pub(super) struct BuildRequest {
    build: Build,
    /// The values of secrets go over the socket, where nobody else can read them.
    secrets: Vec<(String, SentSecret)>,
    /// Whether the context is asked for by [`super::message::Message::Context`].
    pub(super) streams: bool,
    pub(super) root: PathBuf,
    snapshotter: SnapshotterChoice,
    store_limit: StoreLimit,
    trusts_archives: bool,
    git: Option<SentGit>,
}

#[derive(Serialize, Deserialize)]
enum SentSecret {
    File(PathBuf),
    Value(Vec<u8>),
    Unset,
}

#[derive(Serialize, Deserialize)]
struct SentGit {
    program: PathBuf,
    environment: Vec<(OsString, OsString)>,
    allow_local: bool,
}

impl BuildRequest {
    /// What to send, and the context if it is a stream.
    pub(super) fn new(build: &Build, engine: &Engine) -> io::Result<(Self, Option<ContextStream>)> {
        let mut build = build.clone();
        let stream = match &build.context {
            BuildContext::Stream(stream) => Some(stream.clone()),
            _ => None,
        };
        if stream.is_some() {
            build.context = BuildContext::Empty;
        }
        make_absolute(&mut build)?;
        let secrets = build.secrets.drain(..).map(|secret| {
            Ok(match secret.source {
                SecretSource::File(path) => (secret.id, SentSecret::File(absolute(path)?)),
                SecretSource::Value(value) => (secret.id, SentSecret::Value(value)),
                SecretSource::Unset => (secret.id, SentSecret::Unset),
            })
        });
        let secrets = secrets.collect::<io::Result<_>>()?;
        let request = Self {
            secrets,
            build,
            streams: stream.is_some(),
            root: absolute(engine.store().root())?,
            snapshotter: engine.snapshotter(),
            store_limit: engine.store_limit(),
            trusts_archives: *engine.limits() == Limits::NONE,
            git: engine.git().map(|git| SentGit {
                program: git.program.clone(),
                environment: git.environment.clone(),
                allow_local: git.allow_local,
            }),
        };
        Ok((request, stream))
    }

    /// The build, whose context comes from `stream` if it has to.
    pub(super) fn build(&mut self, stream: impl FnOnce() -> ContextStream) -> Build {
        let mut build = self.build.clone();
        build.secrets = std::mem::take(&mut self.secrets)
            .into_iter()
            .map(|(id, source)| {
                let source = match source {
                    SentSecret::File(path) => SecretSource::File(path),
                    SentSecret::Value(value) => SecretSource::Value(value),
                    SentSecret::Unset => SecretSource::Unset,
                };
                Secret { id, source }
            })
            .collect();
        if self.streams {
            build.context = BuildContext::Stream(stream());
        }
        build
    }

    /// An engine like the embedder's, but for its network.
    pub(super) fn configure(&mut self, mut engine: Engine) -> Engine {
        engine = engine.with_snapshotter(self.snapshotter).with_store_limit(self.store_limit);
        if self.trusts_archives {
            engine = engine.trusting_archives();
        }
        match self.git.take() {
            Some(SentGit { program, environment, allow_local }) => {
                engine.with_git(Git { program, environment, allow_local })
            }
            None => engine,
        }
    }
}

/// A worker may have another working directory.
fn make_absolute(build: &mut Build) -> io::Result<()> {
    let in_folder = matches!(build.context, BuildContext::Directory(_));
    if let Dockerfile::File(path) = &mut build.dockerfile
        && in_folder
    {
        fix(path)?;
    }
    for context in [&mut build.context].into_iter().chain(build.build_contexts.values_mut()) {
        if let BuildContext::Directory(path) | BuildContext::OciLayout(path, _) = context {
            fix(path)?;
        }
    }
    for output in &mut build.outputs {
        match &mut output.kind {
            OutputKind::Store => {}
            OutputKind::OciArchive(path)
            | OutputKind::OciDirectory(path)
            | OutputKind::DockerArchive(path)
            | OutputKind::Directory(path)
            | OutputKind::Tar(path) => fix(path)?,
        }
    }
    for source in &mut build.cache_from {
        if let CacheSource::Local { folder, .. } = source {
            fix(folder)?;
        }
    }
    for export in &mut build.cache_to {
        if let CacheTarget::Local { folder, .. } = &mut export.target {
            fix(folder)?;
        }
    }
    build.ssh.iter_mut().try_for_each(|agent| fix(&mut agent.socket))
}

fn fix(path: &mut PathBuf) -> io::Result<()> {
    // What was empty means something else.
    if *path != Path::new("") {
        *path = absolute(&*path)?;
    }
    Ok(())
}
