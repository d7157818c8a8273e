use std::ffi::OsString;
use std::io;
use std::path::{PathBuf, absolute};

use dfbuild_layer::Limits;
use dfbuild_remote::git::Git;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::options::{SnapshotterChoice, StoreLimit};

/// An engine, but for its network.
#[derive(Serialize, Deserialize)]
pub(super) struct SentEngine {
    pub(super) root: PathBuf,
    snapshotter: SnapshotterChoice,
    store_limit: StoreLimit,
    trusts_archives: bool,
    git: Option<SentGit>,
}

#[derive(Serialize, Deserialize)]
struct SentGit {
    program: PathBuf,
    environment: Vec<(OsString, OsString)>,
    allow_local: bool,
}

impl SentEngine {
    pub(super) fn of(engine: &Engine) -> io::Result<Self> {
        Ok(Self {
            root: absolute(engine.store().root())?,
            snapshotter: engine.snapshotter(),
            store_limit: engine.store_limit(),
            trusts_archives: *engine.limits() == Limits::NONE,
            git: engine.git().map(|git| SentGit {
                program: git.program.clone(),
                environment: git.environment.clone(),
                allow_local: git.allow_local,
            }),
        })
    }

    /// An engine like the embedder's.
    pub(super) fn configure(self, mut engine: Engine) -> Engine {
        engine = engine.with_snapshotter(self.snapshotter).with_store_limit(self.store_limit);
        if self.trusts_archives {
            engine = engine.trusting_archives();
        }
        match self.git {
            Some(SentGit { program, environment, allow_local }) => {
                engine.with_git(Git { program, environment, allow_local })
            }
            None => engine,
        }
    }
}
