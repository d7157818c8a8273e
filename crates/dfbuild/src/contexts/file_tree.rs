use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use dfbuild_image::{Entry, Kind, Timestamp, TreePath};
use dfbuild_layer::archive::Limits;
use dfbuild_layer::{Index, View};
use dfbuild_store::Staging;

use crate::elsewhere::UrlFile;
use crate::error::StepError;
use crate::steps::archive;
use crate::steps::draft::{Draft, Finished};
use crate::steps::origin::Origin;
use crate::steps::tree::{Tree, entry_in, names_in, walk_in};

/// The files of an archive as `ADD` would unpack it: owners and devices are those of the archive,
/// whoever unpacks it. Nothing is ever put at a path that it names: contents lie in numbered files.
pub(crate) struct FileTree {
    view: View,
    index: Arc<Index>,
    /// Of each entry of the index.
    origins: Vec<Origin>,
}

impl FileTree {
    /// No files.
    pub(crate) fn empty() -> Self {
        let index = Index::new(Vec::new()).expect("nothing clashes");
        Self::of_index(Arc::new(index), Vec::new())
    }

    /// A file of the network alone, called `name`.
    pub(crate) fn of_file(name: &str, file: &UrlFile, content: PathBuf) -> Result<Self, StepError> {
        let kind = Kind::File { size: file.size, digest: file.digest };
        let entry = Entry::new(TreePath::new(name), kind, 0o600, file.mtime);
        let nothing = View::default();
        let mut draft = Draft::new(&nothing, Timestamp::NO_CLOCK.seconds());
        draft.put(entry, Origin::Spooled(content));
        Ok(Self::of(draft.finish()?))
    }

    /// Unpacks an archive, compressed or not. Contents lie in `staging`.
    pub(crate) fn unpack(
        stream: Box<dyn Read + '_>,
        staging: &Staging,
        limits: &Limits,
    ) -> Result<Self, StepError> {
        let nothing = View::default();
        let mut draft = Draft::new(&nothing, Timestamp::NO_CLOCK.seconds());
        archive::extract(&mut draft, stream, &TreePath::ROOT, None, staging, limits)?;
        Ok(Self::of(draft.finish()?))
    }

    fn of(finished: Finished) -> Self {
        let (index, origins) = finished.into_parts();
        Self::of_index(index, origins)
    }

    fn of_index(index: Arc<Index>, origins: Vec<Origin>) -> Self {
        Self { view: View::new(vec![Arc::clone(&index)]), index, origins }
    }

    /// Where the content of a file is; of a hard link, that of the file that it leads to.
    fn content(&self, path: &TreePath) -> Option<&PathBuf> {
        let found = self.view.get(path)?;
        let at = self.index.position(&self.view.origin(&found).entry.path)?;
        match self.origins.get(at)? {
            Origin::Spooled(content) => Some(content),
            _ => None,
        }
    }
}

impl Tree for FileTree {
    fn get(&self, path: &TreePath) -> Result<Option<Entry>, StepError> {
        Ok(entry_in(&self.view, path))
    }

    fn read_dir(&self, path: &TreePath) -> Result<Vec<Vec<u8>>, StepError> {
        Ok(names_in(&self.view, path))
    }

    fn walk(&self, path: &TreePath) -> Result<Vec<Entry>, StepError> {
        Ok(walk_in(&self.view, path))
    }

    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + '_>> {
        let content = self.content(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(File::open(content)?))
    }

    fn file(&self, path: &TreePath) -> io::Result<Option<File>> {
        self.content(path).map(File::open).transpose()
    }
}

#[cfg(test)]
mod tests {
    use dfbuild_store::Store;

    use super::*;
    use crate::damage::is_bomb;

    /// An archive of members: a name, a type, what it holds or where it leads.
    fn archive(members: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in members {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_mode(0o640);
            header.set_uid(5);
            header.set_gid(6);
            header.set_mtime(7);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            let is_file = *kind == tar::EntryType::Regular;
            if !is_file {
                header.set_link_name_literal(content).unwrap();
                header.set_device_major(0).unwrap();
                header.set_device_minor(0).unwrap();
            }
            header.set_size(if is_file { content.len() as u64 } else { 0 });
            header.set_cksum();
            builder.append(&header, if is_file { content.as_bytes() } else { b"" }).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpack(bytes: &[u8], limits: &Limits) -> (tempfile::TempDir, Result<FileTree, StepError>) {
        let root = tempfile::tempdir().unwrap();
        let staging = Store::open(root.path()).unwrap().stage().unwrap();
        let tree = FileTree::unpack(Box::new(bytes), &staging, limits);
        // The contents are looked at below.
        std::mem::forget(staging);
        (root, tree)
    }

    fn text(tree: &FileTree, path: &str) -> String {
        let mut text = String::new();
        tree.open(&path.into()).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn members_stay_inside() {
        use tar::EntryType::{Char, Link, Regular, Symlink};
        let (_root, tree) = unpack(
            &archive(&[
                ("../../up", Regular, "up"),
                ("/etc/absolute", Regular, "absolute"),
                ("hard", Link, "/etc/absolute"),
                ("out", Symlink, "/"),
                ("device", Char, ""),
                ("a", Regular, "first"),
                ("a", Regular, "second"),
            ]),
            &Limits::default(),
        );
        let tree = tree.unwrap();
        let names: Vec<String> =
            tree.walk(&TreePath::ROOT).unwrap().iter().map(|e| e.path.to_string()).collect();
        assert_eq!(names, ["/a", "/etc", "/etc/absolute", "/hard", "/out", "/up"]);
        assert_eq!(text(&tree, "up"), "up");
        assert_eq!(text(&tree, "hard"), "absolute");
        assert_eq!(text(&tree, "a"), "second");
        let entry = tree.get(&"up".into()).unwrap().unwrap();
        assert_eq!((entry.mode, entry.uid, entry.gid, entry.mtime), (0o640, 5, 6, 7));
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        use tar::EntryType::{Regular, Symlink};
        let (_root, tree) = unpack(
            &archive(&[("out", Symlink, "/nonexistent"), ("out/file", Regular, "x")]),
            &Limits::default(),
        );
        assert!(matches!(tree, Err(StepError::Clash(_))));
    }

    #[test]
    fn bombs() {
        let zeros = "0".repeat(1 << 20);
        let bytes = archive(&[("big", tar::EntryType::Regular, &zeros)]);
        let mut packed = dfbuild_layer::Gzip::new(Vec::new(), 9, 1);
        io::Write::write_all(&mut packed, &bytes).unwrap();
        let packed = packed.finish().unwrap();
        let limits = |ratio| Limits { bytes: 1000, ratio, ..Limits::default() };
        let is_bomb = |bytes: &[u8], limits: &Limits| {
            let (_root, tree) = unpack(bytes, limits);
            tree.err().is_some_and(|error| is_bomb(&error))
        };
        assert!(is_bomb(&packed, &limits(100)));
        assert!(!is_bomb(&packed, &limits(2000)));
        // What is not compressed is as large as it is.
        assert!(!is_bomb(&bytes, &limits(2)));
        let few = Limits { entries: 1, ..Limits::default() };
        let two = [("a", tar::EntryType::Regular, ""), ("b", tar::EntryType::Regular, "")];
        assert!(is_bomb(&archive(&two), &few));
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        let bytes = archive(&[("a", tar::EntryType::Regular, "content")]);
        let (_root, tree) = unpack(&bytes[..515], &Limits::default());
        assert!(tree.is_err());
    }
}
