use dfbuild_image::Digest;

use crate::object::{Reader, framed};

/// One thing that a source of a copy selects. Files are known by the node of
/// [`crate::file_nodes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// What is in a folder, whose own name does not matter.
    Directory(Digest),
    /// A file, alone in its node.
    File(Digest),
    /// Files with the folders that they are in, as `--parents` wants them.
    WithParents(Digest),
    /// A file of the network.
    Url {
        /// What it is called.
        name: String,
        /// Digest of its content.
        digest: Digest,
    },
    /// A git repository. The commit says what is in it, without its files.
    Repository {
        /// The commit.
        commit: String,
        /// Which of its folders.
        directory: String,
    },
    /// A file written in the Dockerfile: its text is a part of the key itself.
    Inline,
}

/// What the sources of a copy select, by source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The sources, in order, each with all that it selects.
    pub sources: Vec<Vec<Selected>>,
}

pub(crate) const MAGIC: &[u8] = b"dfbuild selection 2";

impl Selection {
    /// The bytes whose digest is the part of a key.
    ///
    /// ```text
    /// "dfbuild selection 2" u64 sources { u64 count { item } }
    /// item = 'd' digest | 'f' digest | 'p' digest | 'u' u64 length name digest
    ///      | 'g' u64 length commit u64 length directory | 'i'
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(self.sources.len() as u64).to_le_bytes());
        for source in &self.sources {
            bytes.extend_from_slice(&(source.len() as u64).to_le_bytes());
            for item in source {
                item.encode(&mut bytes);
            }
        }
        bytes
    }

    /// Reads such bytes; `None` if they are torn or something else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes.strip_prefix(MAGIC)?);
        let mut sources = Vec::new();
        for _ in 0..reader.long()? {
            let mut source = Vec::new();
            for _ in 0..reader.long()? {
                source.push(Selected::decode(&mut reader)?);
            }
            sources.push(source);
        }
        reader.0.is_empty().then_some(Self { sources })
    }
}

impl Selected {
    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Directory(digest) => tagged(bytes, b'd', digest),
            Self::File(digest) => tagged(bytes, b'f', digest),
            Self::WithParents(digest) => tagged(bytes, b'p', digest),
            Self::Url { name, digest } => {
                bytes.push(b'u');
                framed(bytes, name.as_bytes());
                bytes.extend_from_slice(digest.as_bytes());
            }
            Self::Repository { commit, directory } => {
                bytes.push(b'g');
                framed(bytes, commit.as_bytes());
                framed(bytes, directory.as_bytes());
            }
            Self::Inline => bytes.push(b'i'),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(match reader.byte()? {
            b'd' => Self::Directory(reader.digest()?),
            b'f' => Self::File(reader.digest()?),
            b'p' => Self::WithParents(reader.digest()?),
            b'u' => Self::Url { name: reader.text()?, digest: reader.digest()? },
            b'g' => Self::Repository { commit: reader.text()?, directory: reader.text()? },
            b'i' => Self::Inline,
            _ => return None,
        })
    }
}

fn tagged(bytes: &mut Vec<u8>, tag: u8, digest: &Digest) {
    bytes.push(tag);
    bytes.extend_from_slice(digest.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_read_back() {
        let digest = Digest::of("d");
        let selection = Selection {
            sources: vec![
                vec![Selected::Directory(digest), Selected::File(digest)],
                vec![],
                vec![Selected::WithParents(digest)],
                vec![Selected::Url { name: "u".into(), digest }],
                vec![Selected::Repository { commit: "c".into(), directory: String::new() }],
                vec![Selected::Inline],
            ],
        };
        let bytes = selection.encode();
        assert_eq!(Selection::decode(&bytes), Some(selection));
        for end in 0..bytes.len() {
            assert_eq!(Selection::decode(&bytes[..end]), None, "{end}");
        }
    }
}
