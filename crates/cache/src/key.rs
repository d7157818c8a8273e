use dfbuild_image::{Digest, Hasher};
use serde::{Deserialize, Serialize};

/// What a [`Part`] of a key is about. The numbers are part of the encoding: a new label gets a new
/// number, an old number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum Label {
    /// The instruction, and which of the three kinds of key this is.
    Instruction = 1,
    /// What the step is built upon: the key or the content of the step before.
    Parent = 2,
    /// The layers of a base image.
    Base = 3,
    /// A word of the command.
    Argument = 4,
    /// A variable.
    Environment = 5,
    /// The working directory.
    WorkingDirectory = 6,
    /// The user.
    User = 7,
    /// A flag that changes what the step does.
    Flag = 8,
    /// A mount.
    Mount = 9,
    /// The content of the files that a mount shows.
    MountFiles = 10,
    /// A source as written.
    Source = 11,
    /// The content of the files that a source selects.
    SourceFiles = 12,
    /// Where a step gets files from: the key of a stage's end, or an image.
    From = 13,
    /// The destination.
    Destination = 14,
    /// The text of an inline file.
    Inline = 15,
    /// The platform.
    Platform = 16,
    /// A host name that the command can look up.
    Host = 17,
    /// A variable whose name means a secret: a digest of its value.
    HiddenEnvironment = 18,
}

/// One thing that a step depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is about.
    pub label: Label,
    /// Which one: the variable, the mount target; empty where there is only one.
    pub name: String,
    /// Its value: text, or a digest of something larger.
    pub value: String,
}

/// Everything that a step depends on, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Key {
    parts: Vec<Part>,
}

/// Changes when the meaning of a part changes, so that no record of an older version is found.
const VERSION: u32 = 1;

impl Key {
    /// A key without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part with text.
    pub fn text(&mut self, label: Label, name: impl Into<String>, value: impl Into<String>) {
        self.parts.push(Part { label, name: name.into(), value: value.into() });
    }

    /// Adds a part with the digest of something larger.
    pub fn content(&mut self, label: Label, name: impl Into<String>, digest: Digest) {
        self.text(label, name, digest.to_string());
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The digest that names it.
    ///
    /// ```text
    /// SHA-256( "dfbuild key" u32 version u64 count { u32 label u64 length name u64 length value } )
    /// ```
    /// All numbers are little-endian.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(b"dfbuild key");
        hasher.update(VERSION.to_le_bytes());
        hasher.update((self.parts.len() as u64).to_le_bytes());
        for part in &self.parts {
            hasher.update((part.label as u32).to_le_bytes());
            for text in [&part.name, &part.value] {
                hasher.update((text.len() as u64).to_le_bytes());
                hasher.update(text);
            }
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(parts: &[(u8, String, String)]) -> Key {
        let mut key = Key::new();
        for (label, name, value) in parts {
            let label = if label % 2 == 0 { Label::Argument } else { Label::Environment };
            key.text(label, name.as_str(), value.as_str());
        }
        key
    }

    proptest! {
        // See osscontainertools/kaniko#875: joined strings let sibling stages exchange content.
        #[test]
        fn different_parts_give_different_keys(
            a in prop::collection::vec((0..2_u8, "[ab]{0,3}", "[ab]{0,3}"), 0..4),
            b in prop::collection::vec((0..2_u8, "[ab]{0,3}", "[ab]{0,3}"), 0..4),
        ) {
            let (a, b) = (key(&a), key(&b));
            prop_assert_eq!(a == b, a.digest() == b.digest());
        }
    }
}
