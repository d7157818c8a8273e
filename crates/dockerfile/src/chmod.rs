//! The value of `--chmod`.

use std::str::FromStr;

/// A change of mode bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    /// These bits, for files and directories alike; at most 0o7777.
    Octal(u32),
    /// Clauses as `chmod` of a shell has them.
    Symbolic(Vec<Clause>),
}

impl Chmod {
    /// The mode after the change. `mode` holds the permission bits, set-id and sticky bits included.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let _ = is_dir;
        match self {
            Self::Octal(bits) => *bits,
            Self::Symbolic(_) => mode,
        }
    }
}

/// One clause of a symbolic mode, such as `u+x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {}

impl FromStr for Chmod {
    type Err = ChmodError;

    fn from_str(text: &str) -> Result<Self, ChmodError> {
        u32::from_str_radix(text, 8)
            .map(Self::Octal)
            .map_err(|_| ChmodError { text: text.to_owned() })
    }
}

/// A value that is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")]
pub struct ChmodError {
    /// The value.
    pub text: String,
}
