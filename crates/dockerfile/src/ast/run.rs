//! `RUN` and its flags.

use crate::ast::{Command, Flags, Heredoc};
use crate::span::Word;

/// `RUN [flags] command`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// What to run. In the shell form heredoc markers are still in the text.
    pub command: Command<'a>,
    /// The heredocs, in the order of their markers.
    pub heredocs: Vec<Heredoc<'a>>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// All flags.
    pub flags: Flags<'a>,
}

impl<'a> Run<'a> {
    /// `--mount`, repeated.
    pub fn mounts(&self) -> impl Iterator<Item = MountFlag<'a>> {
        self.flags.texts("mount").map(|text| MountFlag { text })
    }

    /// `--device`, repeated.
    pub fn devices(&self) -> impl Iterator<Item = Device> {
        let texts = self.flags.texts("device");
        texts.filter_map(|text| crate::build::mount::parse_device(&text.value).ok())
    }
}

/// A `--mount` as written. Its values may hold variables, so it only becomes a [`Mount`] with [`MountFlag::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFlag<'a> {
    /// The text after `--mount=`.
    pub text: Word<'a>,
}

impl MountFlag<'_> {
    /// Expands the values with `expand` and reads the result.
    pub fn resolve(
        &self,
        expand: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Mount, MountError> {
        Mount::parse_with(&self.text.value, expand)
    }
}

/// What a mount shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// A fresh directory in memory.
    Tmpfs,
    /// A secret file.
    Secret,
    /// The socket of an SSH agent.
    Ssh,
}

/// How builds share a cache mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// All at once.
    #[default]
    Shared,
    /// Each on its own copy.
    Private,
    /// One after the other.
    Locked,
}

/// A mount with its values expanded. An empty value counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// `type`.
    pub kind: MountKind,
    /// `from`: a stage, a named context or an image.
    pub from: Option<String>,
    /// `source`.
    pub source: Option<String>,
    /// `target`.
    pub target: Option<String>,
    /// `readonly`; without it, bind, secret and ssh mounts are read-only and the others are not.
    pub read_only: bool,
    /// `id`.
    pub id: Option<String>,
    /// `sharing`, if given.
    pub sharing: Option<Sharing>,
    /// `required`.
    pub required: bool,
    /// `size` of a tmpfs in bytes.
    pub size: Option<i64>,
    /// `mode`.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
    /// `env` of a secret: the variable that holds it.
    pub env: Option<String>,
}

/// Why a `--mount` is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MountError {
    /// The text, in the words of the reference implementation.
    pub message: String,
    /// The name that was likely meant.
    pub suggestion: Option<String>,
}

impl Mount {
    /// Reads a mount whose values hold no variables.
    pub fn parse(text: &str) -> Result<Self, MountError> {
        Self::parse_with(text, &mut |value| Ok(value.to_owned()))
    }

    /// Reads a mount and expands each value on its own, so that a comma in a variable does not split it.
    pub fn parse_with(
        text: &str,
        expand: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Self, MountError> {
        crate::build::mount::parse(text, expand)
    }
}

/// `--network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Network {
    /// What the build has.
    #[default]
    Default,
    /// No network.
    None,
    /// The network of the host.
    Host,
}

/// `--security`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Security {
    /// The usual confinement.
    #[default]
    Sandbox,
    /// No confinement.
    Insecure,
}

/// `--device`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The name of the device.
    pub name: String,
    /// Whether the build fails without it.
    pub required: bool,
}
