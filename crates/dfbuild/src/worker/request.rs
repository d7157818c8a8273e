use std::io;
use std::path::{Path, PathBuf, absolute};

use serde::{Deserialize, Serialize};

use super::secrets::SentSecrets;
use crate::build::{Build, Dockerfile};
use crate::options::{BuildContext, ContextStream, OutputKind};
use crate::sharing::{CacheSource, CacheTarget};

/// A build.
#[derive(Serialize, Deserialize)]
pub(super) struct BuildRequest {
    build: Build,
    secrets: SentSecrets,
    /// Whether the context is asked for by [`super::message::Message::Context`].
    streams: bool,
}

impl BuildRequest {
    /// What to send, and the context if it is a stream.
    pub(super) fn new(build: &Build) -> io::Result<(Self, Option<ContextStream>)> {
        let mut build = build.clone();
        let stream = match &build.context {
            BuildContext::Stream(stream) => Some(stream.clone()),
            _ => None,
        };
        if stream.is_some() {
            build.context = BuildContext::Empty;
        }
        make_absolute(&mut build)?;
        let secrets = SentSecrets::of(std::mem::take(&mut build.secrets))?;
        Ok((Self { secrets, build, streams: stream.is_some() }, stream))
    }

    /// The build, whose context comes from `stream` if it has to.
    pub(super) fn build(self, stream: impl FnOnce() -> ContextStream) -> Build {
        let mut build = self.build;
        build.secrets = self.secrets.received();
        if self.streams {
            build.context = BuildContext::Stream(stream());
        }
        build
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
