use dfbuild_image::{Digest, Entry, Hasher, Kind, TreePath};

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

/// The digest of selected files: a Merkle tree of directory nodes, so that two selections that
/// share a folder share its node.
///
/// In it are name, type, mode, owner, size, content, link target, device number and capability of
/// each entry; times are not. `entries` are in walk order, below `root`, which itself does not
/// count.
///
/// ```text
/// node  = SHA-256( "dfbuild tree 1" { entry } u8 9 )
/// entry = u8 type u64 length name u32 mode u32 uid u32 gid u64 length capability payload
/// payload: file u64 size content | symlink and hard link u64 length target
///          | device u32 major u32 minor | directory node
/// ```
pub fn files_digest(root: &TreePath, entries: &[Entry]) -> Digest {
    let mut rest = entries;
    node(root, root, &mut rest)
}

/// The node of `directory`; takes what is below it from the front of `rest`.
fn node(root: &TreePath, directory: &TreePath, rest: &mut &[Entry]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(b"dfbuild tree 1");
    while let Some((entry, after)) = rest.split_first() {
        let Some(name) = entry.path.strip_prefix(directory) else { break };
        *rest = after;
        header(&mut hasher, &name, entry);
        match &entry.kind {
            Kind::Directory { .. } => hasher.update(node(root, &entry.path, rest).as_bytes()),
            Kind::File { size, digest } => {
                hasher.update(size.to_le_bytes());
                hasher.update(digest.as_bytes());
            }
            Kind::Symlink { target } => framed(&mut hasher, target),
            Kind::HardLink { target } => {
                let relative = target.strip_prefix(root);
                framed(&mut hasher, relative.as_ref().unwrap_or(target).as_bytes());
            }
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                hasher.update(major.to_le_bytes());
                hasher.update(minor.to_le_bytes());
            }
            Kind::Fifo | Kind::Whiteout => {}
        }
    }
    hasher.update([Field::End as u8]);
    hasher.finish()
}

fn header(hasher: &mut Hasher, name: &TreePath, entry: &Entry) {
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
    hasher.update([field as u8]);
    framed(hasher, name.as_bytes());
    for number in [entry.mode, entry.uid, entry.gid] {
        hasher.update(number.to_le_bytes());
    }
    framed(hasher, entry.capability.as_deref().unwrap_or_default());
}

fn framed(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
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
}
