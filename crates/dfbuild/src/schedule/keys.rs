use dfbuild_cache::{Key, Label};
use dfbuild_dockerfile::ast::{MountKind, Network, Security, Sharing};
use dfbuild_dockerfile::lint::is_secret;
use dfbuild_image::{Digest, Hasher, Platform};
use dfbuild_plan::{CopySource, CopyStep, RunMount, RunStep, Step, StepKind, TreeSource};

use crate::build::Build;
use crate::schedule::key_parts::entries;

/// What the sources of a step come to, in the order of [`Step::sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceId {
    /// The content of what is selected.
    Files(Digest),
    /// How a stage is made, whatever comes out of it.
    Definition(Digest),
}

/// What a key is made of, beside the step itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyInput<'a> {
    /// By definition: nothing has to be known of results. Else by content.
    pub(crate) by_definition: bool,
    /// The definition or the content of what lies below.
    pub(crate) parent: Digest,
    pub(crate) sources: &'a [SourceId],
    pub(crate) platform: &'a Platform,
    pub(crate) build: &'a Build,
    /// Whether commands only pretend to change owners.
    pub(crate) single_id: bool,
}

/// The key of a step: everything that its result depends on, and nothing else.
pub(crate) fn step_key(step: &Step, input: &KeyInput<'_>) -> Key {
    let mut key = Key::new();
    let how = if input.by_definition { "definition" } else { "content" };
    match &step.kind {
        StepKind::Run(run) => {
            key.text(Label::Instruction, how, "RUN");
            key.content(Label::Parent, "", input.parent);
            run_parts(&mut key, run, input);
        }
        StepKind::Copy(copy) => {
            let name = if copy.add.is_some() { "ADD" } else { "COPY" };
            key.text(Label::Instruction, how, name);
            // A linked copy does not see what lies below it.
            if !copy.link || copy.chmod.is_some() {
                key.content(Label::Parent, "", input.parent);
            }
            copy_parts(&mut key, copy, input);
        }
        StepKind::Workdir(workdir) => {
            key.text(Label::Instruction, how, "WORKDIR");
            key.content(Label::Parent, "", input.parent);
            key.text(Label::WorkingDirectory, "", workdir.path.as_str());
            key.text(Label::User, "", workdir.user.as_str());
        }
    }
    debug_assert!(entries(&key).all(|entry| entry.is_some()), "a part is not documented: {key:?}");
    key
}

/// The content of a stack of layers: the identity that keys chain on.
pub(crate) fn chain<'a>(contents: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let start = Digest::of("dfbuild chain 1");
    contents.into_iter().fold(start, |below, content| link(&below, content))
}

/// The content of a stack with one layer more.
pub(crate) fn link(below: &Digest, content: &Digest) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(below.as_bytes());
    hasher.update(content.as_bytes());
    hasher.finish()
}

/// What a step is the same by in any Dockerfile, on any machine.
pub(crate) fn text_name(text: &str) -> Digest {
    Digest::of_texts(["text", text])
}

fn run_parts(key: &mut Key, run: &RunStep, input: &KeyInput<'_>) {
    for (at, word) in run.args.iter().enumerate() {
        key.text(Label::Argument, at.to_string(), word.as_str());
    }
    for (name, value) in &run.env {
        // What people take for a secret is not kept; that it changed can be told nevertheless.
        if is_secret(name) {
            key.content(Label::HiddenEnvironment, name.as_str(), Digest::of(value));
        } else {
            key.text(Label::Environment, name.as_str(), value.as_str());
        }
    }
    key.text(Label::WorkingDirectory, "", run.cwd.as_str());
    key.text(Label::User, "", run.user.as_str());
    key.text(Label::Platform, "", input.platform.to_string());
    let network = match run.network {
        Network::Default if input.build.network_none => "none",
        Network::Default => "default",
        Network::None => "none",
        Network::Host => "host",
    };
    key.text(Label::Flag, "network", network);
    if run.security == Security::Insecure {
        key.text(Label::Flag, "security", "insecure");
    }
    if let Some(bytes) = input.build.shm_size {
        key.text(Label::Flag, "shm-size", bytes.to_string());
    }
    for limit in &input.build.ulimits {
        let value = format!("{}:{}", limit.soft, limit.hard);
        key.text(Label::Flag, format!("ulimit {}", limit.name), value);
    }
    // The address of a host may change without the result: only the name counts, as in BuildKit.
    for (name, _) in &input.build.add_hosts {
        key.text(Label::Host, name.as_str(), "");
    }
    if let Some(name) = input.build.build_args.get("BUILDKIT_SANDBOX_HOSTNAME") {
        key.text(Label::Flag, "hostname", name.as_str());
    }
    // With a single id owners are lost: who has more must not get that result.
    if input.single_id {
        key.text(Label::Flag, "ids", "single");
    }
    if let Some((name, text)) = &run.script {
        key.text(Label::Inline, name.as_str(), text.as_str());
    }
    let mut sources = input.sources.iter();
    for mount in &run.mounts {
        let source = mount.from.as_ref().and_then(|_| sources.next());
        mount_parts(key, mount, source);
    }
}

fn mount_parts(key: &mut Key, mount: &RunMount, source: Option<&SourceId>) {
    let kind = match mount.kind {
        MountKind::Bind => "bind",
        MountKind::Cache => "cache",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Secret => "secret",
        MountKind::Ssh => "ssh",
    };
    let name = mount.target.as_str();
    key.text(Label::Mount, name, kind);
    key.text(Label::Mount, name, if mount.read_only { "ro" } else { "rw" });
    let mode = mount.mode.map_or(String::new(), |mode| format!("{mode:o}"));
    key.text(Label::Mount, name, format!("mode {mode} owner {}:{}", mount.uid, mount.gid));
    key.text(Label::Mount, name, if mount.required { "required" } else { "optional" });
    if let Some(source) = source {
        key.text(Label::Mount, name, format!("source {}", mount.source));
        source_part(key, name, source);
    }
    match mount.kind {
        // Which cache it is matters only if it is not the usual one, and what is in it never does.
        MountKind::Cache if mount.id != mount.target || mount.sharing != Sharing::Shared => {
            key.text(Label::Mount, name, format!("id {}", mount.id));
        }
        MountKind::Tmpfs => {
            key.text(Label::Mount, name, format!("size {}", mount.size.unwrap_or(0)));
        }
        // The name and place of a secret; its value never.
        MountKind::Secret | MountKind::Ssh => {
            key.text(Label::Mount, name, format!("id {}", mount.id));
            key.text(Label::Mount, name, format!("env {}", mount.env.as_deref().unwrap_or("")));
        }
        MountKind::Cache | MountKind::Bind => {}
    }
}

fn copy_parts(key: &mut Key, copy: &CopyStep, input: &KeyInput<'_>) {
    key.text(Label::Destination, "", copy.dest.as_str());
    for source in &copy.sources {
        match source {
            CopySource::Inline { name, text } => {
                key.text(Label::Inline, name.as_str(), text.as_str());
            }
            CopySource::Url(url) | CopySource::Git(url) => {
                key.text(Label::Source, "", url.as_str());
            }
            // By content the path is known only by what it selects.
            CopySource::Path(path) if input.by_definition && by_definition(input.sources) => {
                key.text(Label::Source, "", path.as_str());
            }
            CopySource::Path(_) => {}
        }
    }
    for source in input.sources {
        source_part(key, "", source);
    }
    if let Some(owner) = &copy.chown {
        key.text(Label::Flag, "chown", owner.as_str());
    }
    if let Some(chmod) = &copy.chmod {
        key.text(Label::Flag, "chmod", chmod.to_string());
    }
    for (name, set) in [("link", copy.link), ("parents", copy.parents)] {
        if set {
            key.text(Label::Flag, name, "");
        }
    }
    for pattern in &copy.excludes {
        key.text(Label::Flag, "exclude", pattern.as_str());
    }
    if let Some(add) = &copy.add {
        let flag = |value: Option<bool>| value.map_or(String::new(), |value| value.to_string());
        key.text(Label::Flag, "unpack", flag(add.unpack));
        key.text(Label::Flag, "keep-git-dir", flag(add.keep_git_dir));
        key.text(Label::Flag, "checksum", add.checksum.clone().unwrap_or_default());
    }
}

fn by_definition(sources: &[SourceId]) -> bool {
    sources.iter().any(|source| matches!(source, SourceId::Definition(_)))
}

fn source_part(key: &mut Key, name: &str, source: &SourceId) {
    match source {
        SourceId::Files(digest) => key.content(Label::SourceFiles, name, *digest),
        SourceId::Definition(digest) => key.content(Label::From, name, *digest),
    }
}

/// Whether a source is a tree whose files are known before anything runs.
pub(crate) fn is_given(source: &TreeSource) -> bool {
    !matches!(source, TreeSource::Stage(_))
}
