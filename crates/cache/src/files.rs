use dfbuild_image::{Digest, Entry, Kind, TreePath};

use crate::object::{Reader, framed};

/// What of a file counts for a cache key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Directory = 1,
    File = 2,
    Symlink = 3,
    HardLink = 4,
    CharDevice = 5,
    BlockDevice = 6,
    Fifo = 7,
    Whiteout = 8,
    End = 9,
}

/// With what every node begins.
pub(crate) const MAGIC: &[u8] = b"dfbuild tree 1";

/// The digest of selected files: a Merkle tree of directory nodes, so that two selections that
/// share a folder share its node.
///
/// In it are name, type, mode, owner, size, content, link target, device number and capability of
/// each entry; times are not. `entries` are in walk order, below `root`, which itself does not
/// count.
///
/// ```text
/// digest = SHA-256(node)
/// node   = "dfbuild tree 1" { entry } u8 9
/// entry  = u8 type u64 length name u32 mode u32 uid u32 gid u64 length capability payload
/// payload: file u64 size content | symlink and hard link u64 length target
///          | device u32 major u32 minor | directory digest
/// ```
pub fn files_digest(root: &TreePath, entries: &[Entry]) -> Digest {
    file_nodes(root, entries, &mut |_, _| {})
}

/// The same digest; hands each node to `keep`, those of the folders in a folder before its own.
pub fn file_nodes(
    root: &TreePath,
    entries: &[Entry],
    keep: &mut dyn FnMut(Digest, Vec<u8>),
) -> Digest {
    let mut rest = entries;
    node(root, root, &mut rest, keep)
}

/// The node of `directory`; takes what is below it from the front of `rest`.
fn node(
    root: &TreePath,
    directory: &TreePath,
    rest: &mut &[Entry],
    keep: &mut dyn FnMut(Digest, Vec<u8>),
) -> Digest {
    let mut bytes = MAGIC.to_vec();
    while let Some((entry, after)) = rest.split_first() {
        let Some(name) = entry.path.strip_prefix(directory) else { break };
        *rest = after;
        header(&mut bytes, &name, entry);
        match &entry.kind {
            Kind::Directory { .. } => {
                bytes.extend_from_slice(node(root, &entry.path, rest, keep).as_bytes());
            }
            Kind::File { size, digest } => {
                bytes.extend_from_slice(&size.to_le_bytes());
                bytes.extend_from_slice(digest.as_bytes());
            }
            Kind::Symlink { target } => framed(&mut bytes, target),
            Kind::HardLink { target } => {
                let relative = target.strip_prefix(root);
                framed(&mut bytes, relative.as_ref().unwrap_or(target).as_bytes());
            }
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                bytes.extend_from_slice(&major.to_le_bytes());
                bytes.extend_from_slice(&minor.to_le_bytes());
            }
            Kind::Fifo | Kind::Whiteout => {}
        }
    }
    bytes.push(Field::End as u8);
    let digest = Digest::of(&bytes);
    keep(digest, bytes);
    digest
}

fn header(bytes: &mut Vec<u8>, name: &TreePath, entry: &Entry) {
    let field = match entry.kind {
        Kind::Directory { .. } => Field::Directory,
        Kind::File { .. } => Field::File,
        Kind::Symlink { .. } => Field::Symlink,
        Kind::HardLink { .. } => Field::HardLink,
        Kind::CharDevice { .. } => Field::CharDevice,
        Kind::BlockDevice { .. } => Field::BlockDevice,
        Kind::Fifo => Field::Fifo,
        Kind::Whiteout => Field::Whiteout,
    };
    bytes.push(field as u8);
    framed(bytes, name.as_bytes());
    for number in [entry.mode, entry.uid, entry.gid] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    framed(bytes, entry.capability.as_deref().unwrap_or_default());
}

/// An entry of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeEntry {
    pub(crate) name: TreePath,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) capability: Vec<u8>,
    pub(crate) what: What,
}

/// What an entry of a node is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// A folder, and the digest of its node.
    Directory(Digest),
    File(u64, Digest),
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
    Whiteout,
}

/// The entries of a node; `None` if the bytes are none.
pub(crate) fn read_node(bytes: &[u8]) -> Option<Vec<NodeEntry>> {
    let mut reader = Reader(bytes.strip_prefix(MAGIC)?);
    let mut entries = Vec::new();
    loop {
        let field = reader.byte()?;
        if field == Field::End as u8 {
            return reader.0.is_empty().then_some(entries);
        }
        let name = TreePath::new(reader.framed()?);
        let mode = reader.number()?;
        let owner = (reader.number()?, reader.number()?);
        let capability = reader.framed()?.to_vec();
        let what = match field {
            1 => What::Directory(reader.digest()?),
            2 => What::File(reader.long()?, reader.digest()?),
            3 => What::Symlink(reader.framed()?.to_vec()),
            4 => What::HardLink(reader.framed()?.to_vec()),
            5 => What::CharDevice(reader.number()?, reader.number()?),
            6 => What::BlockDevice(reader.number()?, reader.number()?),
            7 => What::Fifo,
            8 => What::Whiteout,
            _ => return None,
        };
        entries.push(NodeEntry { name, mode, owner, capability, what });
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> Entry {
        let kind = Kind::File { size: content.len() as u64, digest: Digest::of(content) };
        Entry::new(path, kind, 0o644, 7)
    }

    fn directory(path: &str) -> Entry {
        Entry::new(path, Kind::DIRECTORY, 0o755, 7)
    }

    #[test]
    fn structure_counts_and_time_does_not() {
        let root = TreePath::ROOT;
        let tree = [directory("a"), file("a/x", "1"), file("b", "2")];
        let base = files_digest(&root, &tree);
        let touched: Vec<_> = tree.iter().map(|e| Entry { mtime: 8, ..e.clone() }).collect();
        assert_eq!(files_digest(&root, &touched), base);
        let flat = [directory("a"), file("b", "2"), file("x", "1")];
        let mode: Vec<_> = tree.iter().map(|e| Entry { mode: 0o600, ..e.clone() }).collect();
        for other in [&flat[..], &mode[..], &tree[..2], &[]] {
            assert_ne!(files_digest(&root, other), base);
        }
    }

    // See osscontainertools/kaniko#912: a directory tree without lengths is ambiguous.
    #[test]
    fn end_of_a_folder_counts() {
        let root = TreePath::ROOT;
        let inside = [directory("a"), directory("a/b"), file("a/c", "1")];
        let deeper = [directory("a"), directory("a/b"), file("a/b/c", "1")];
        assert_ne!(files_digest(&root, &inside), files_digest(&root, &deeper));
    }

    #[test]
    fn selection_is_named_from_its_root() {
        let moved = [file("d/x", "1")];
        let plain = [file("x", "1")];
        assert_eq!(files_digest(&"d".into(), &moved), files_digest(&TreePath::ROOT, &plain));
    }

    #[test]
    fn nodes_are_read_back() {
        let links = [
            Entry::new("l", Kind::Symlink { target: b"x".to_vec() }, 0o777, 7),
            Entry::new("n", Kind::CharDevice { major: 1, minor: 3 }, 0o666, 7),
        ];
        let tree = [&[directory("a"), file("a/x", "1")][..], &links].concat();
        let mut kept = Vec::new();
        let root = file_nodes(&TreePath::ROOT, &tree, &mut |digest, bytes| {
            kept.push((digest, bytes));
        });
        assert_eq!(kept.last().unwrap().0, root);
        let entries = read_node(&kept[1].1).unwrap();
        let names: Vec<String> = entries.iter().map(|entry| entry.name.to_string()).collect();
        assert_eq!(names, ["/a", "/l", "/n"]);
        assert_eq!(entries[0].what, What::Directory(kept[0].0));
        let last = kept[1].1.len() - 1;
        for end in 0..last {
            assert_eq!(read_node(&kept[1].1[..end]), None, "{end}");
        }
    }
}
