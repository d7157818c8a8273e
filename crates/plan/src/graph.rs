use std::collections::BTreeSet;

use dfbuild_dockerfile::ast::{MountKind, Network, Security, Sharing};
use dfbuild_dockerfile::chmod::Chmod;
use dfbuild_dockerfile::{Diagnostic, LineRange, Span};
use dfbuild_image::{ImageConfig, Platform};

use crate::BaseRequest;

/// The stages that a target needs, each after those that it needs itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// The stages.
    pub stages: Vec<Stage>,
    /// The stages to build: one for each platform.
    pub targets: Vec<StageId>,
    /// `SOURCE_DATE_EPOCH`, seconds since 1970-01-01 UTC.
    pub epoch: Option<i64>,
    /// What is worth saying although the build can go on.
    pub warnings: Vec<Diagnostic>,
}

impl Graph {
    /// The stage to build; the last one of several.
    ///
    /// # Panics
    /// Never: a graph has a target.
    pub fn target(&self) -> &Stage {
        self.stage(*self.targets.last().expect("a graph has a target"))
    }

    /// The stages of the image of `target`, from the one that begins with an image or nothing down
    /// to the target itself.
    pub fn lineage(&self, target: StageId) -> Vec<StageId> {
        let mut stages = vec![target];
        while let Base::Stage(base) = self.stage(stages[0]).base {
            stages.insert(0, base);
        }
        stages
    }

    /// The stage with this id.
    pub fn stage(&self, id: StageId) -> &Stage {
        &self.stages[id.0]
    }
}

/// A stage of a [`Graph`]: its place in [`Graph::stages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(pub usize);

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its number in the file, from 0.
    pub index: usize,
    /// Its name, in lower case.
    pub name: Option<String>,
    /// Whether its Dockerfile has no other.
    pub is_only: bool,
    /// What it is built for.
    pub platform: Platform,
    /// What it begins with.
    pub base: Base,
    /// The text of its `FROM`.
    pub from: String,
    /// Where its `FROM` is.
    pub span: Span,
    /// The lines of its `FROM`.
    pub lines: LineRange,
    /// The steps that make or look at files, in order.
    pub steps: Vec<Step>,
    /// The history that it adds, in order; those of its base come before.
    pub history: Vec<HistoryLine>,
    /// The configuration at its end. Layers and history are those of the base image.
    pub config: ImageConfig,
}

impl Stage {
    /// What people call it: its name, else `stage-N`.
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("stage-{}", self.index))
    }

    /// What BuildKit's progress calls it. The only stage has no name there, whatever it is called,
    /// unless steps read from images: those count as stages.
    pub fn progress_name(&self) -> Option<String> {
        let mut sources = self.steps.iter().flat_map(Step::sources);
        let is_alone = self.is_only && sources.all(|source| *source == TreeSource::Context);
        (!is_alone).then(|| self.title())
    }

    /// The number of its first step, as BuildKit counts: the `FROM` of an image is number 1, and
    /// that of a stage or of nothing has none.
    pub fn first_number(&self) -> usize {
        match self.base {
            Base::Image(_) | Base::Directory(_) => 2,
            Base::Stage(_) | Base::Scratch => 1,
        }
    }

    /// Whether it runs commands.
    pub fn runs_commands(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.kind, StepKind::Run(_)))
    }

    /// The stages that it reads from.
    pub fn needs(&self) -> BTreeSet<StageId> {
        let base = match self.base {
            Base::Stage(id) => Some(id),
            _ => None,
        };
        let sources = self.steps.iter().flat_map(Step::sources);
        let stages = sources.filter_map(|source| match source {
            TreeSource::Stage(id) => Some(*id),
            _ => None,
        });
        base.into_iter().chain(stages).collect()
    }
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// Another stage.
    Stage(StageId),
    /// An image.
    Image(BaseRequest),
    /// The files of a named context.
    Directory(String),
}

/// A step that makes or looks at files.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The instruction on one line.
    pub text: String,
    /// Where it is; for a trigger of a base image, where its `FROM` is.
    pub span: Span,
    /// The lines of `span`.
    pub lines: LineRange,
    /// What it does.
    pub kind: StepKind,
}

impl Step {
    /// The trees that it reads from, apart from the files of its own stage.
    pub fn sources(&self) -> Vec<&TreeSource> {
        match &self.kind {
            StepKind::Copy(copy) => vec![&copy.from],
            StepKind::Run(run) => {
                run.mounts.iter().filter_map(|mount| mount.from.as_ref()).collect()
            }
            StepKind::Workdir(_) => Vec::new(),
        }
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// `RUN`.
    Run(RunStep),
    /// `COPY` and `ADD`.
    Copy(CopyStep),
    /// `WORKDIR`, unless it is the root.
    Workdir(WorkdirStep),
}

/// A tree of files to read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeSource {
    /// The build context.
    Context,
    /// A named context that is a directory.
    Named(String),
    /// A stage.
    Stage(StageId),
    /// An image.
    Image(BaseRequest),
    /// `scratch`: no files at all.
    Empty,
}

/// A `RUN`, ready to be executed.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStep {
    /// The command with its arguments.
    pub args: Vec<String>,
    /// The environment: `ENV` and `ARG` in force, as pairs.
    pub env: Vec<(String, String)>,
    /// Variables that reach the command, but neither key nor history: proxy arguments. They win over
    /// the others.
    pub proxy_env: Vec<(String, String)>,
    /// The working directory, absolute.
    pub cwd: String,
    /// `USER`, unresolved; empty for root.
    pub user: String,
    /// `--mount`.
    pub mounts: Vec<RunMount>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// The body of a heredoc that is a script of its own: its name below `/dev/pipes` and its text.
    pub script: Option<(String, String)>,
}

/// A `RUN --mount`, expanded. Which fields count depends on `kind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMount {
    /// `type`.
    pub kind: MountKind,
    /// `from`, for bind and cache mounts.
    pub from: Option<TreeSource>,
    /// `source` inside it.
    pub source: String,
    /// `target`, absolute.
    pub target: String,
    /// Whether it cannot be written to.
    pub read_only: bool,
    /// `id`.
    pub id: String,
    /// `sharing`.
    pub sharing: Sharing,
    /// `required`.
    pub required: bool,
    /// `size` in bytes, for tmpfs.
    pub size: Option<u64>,
    /// `mode`.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: u32,
    /// `gid`.
    pub gid: u32,
    /// `env`: the variable that holds the secret.
    pub env: Option<String>,
}

/// A `COPY` or `ADD`, expanded.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyStep {
    /// What to copy, in order.
    pub sources: Vec<CopySource>,
    /// Where to, absolute; with a slash at its end if it names a directory.
    pub dest: String,
    /// Where from.
    pub from: TreeSource,
    /// `--chown`, unresolved.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<Chmod>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub excludes: Vec<String>,
    /// What only `ADD` has; `None` for `COPY`.
    pub add: Option<AddOptions>,
}

/// One source of a [`CopyStep`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// A path or pattern in the tree.
    Path(String),
    /// A file written in the Dockerfile.
    Inline {
        /// Its name: the delimiter of the heredoc.
        name: String,
        /// Its text, expanded.
        text: String,
    },
    /// A file of the network.
    Url(String),
    /// A git repository.
    Git(String),
}

/// The flags of `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddOptions {
    /// `--checksum`, expanded.
    pub checksum: Option<String>,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`.
    pub unpack: Option<bool>,
}

/// A `WORKDIR` that may have to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkdirStep {
    /// The directory, absolute.
    pub path: String,
    /// `USER` in force, who owns what is made; unresolved, empty for root.
    pub user: String,
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLine {
    /// The instruction as BuildKit writes it.
    pub created_by: String,
    /// The index in [`Stage::steps`] of the step whose layer it describes; `None` without a layer.
    pub step: Option<usize>,
}
