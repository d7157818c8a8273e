use crate::change::Change;
use crate::files::{NodeEntry, What};

/// How two entries of the same path differ, folders apart from what is in them.
pub(crate) fn entry_changes(old: &NodeEntry, new: &NodeEntry) -> Vec<Change> {
    let mut changes = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match (&old.what, &new.what) {
        (What::Directory(_), What::Directory(_)) => {}
        (What::File(..), What::File(..)) if old.what != new.what => {
            changes.push(Change::Content);
        }
        (What::Symlink(before), What::Symlink(now))
        | (What::HardLink(before), What::HardLink(now))
            if before != now =>
        {
            changes.push(Change::Target { old: text(before), new: text(now) });
        }
        (before, now) if kind(before) != kind(now) => {
            let (old, new) = (kind(before).to_owned(), kind(now).to_owned());
            changes.push(Change::Type { old, new });
        }
        (before, now) if before != now => changes.push(Change::Content),
        _ => {}
    }
    // The mode of a link means nothing, and that of another type comes with it.
    if old.mode != new.mode && kind(&old.what) == kind(&new.what) {
        let octal = |mode: u32| format!("{mode:04o}");
        changes.push(Change::Mode { old: octal(old.mode), new: octal(new.mode) });
    }
    if old.owner != new.owner {
        let owner = |(user, group): (u32, u32)| format!("{user}:{group}");
        changes.push(Change::Owner { old: owner(old.owner), new: owner(new.owner) });
    }
    if old.capability != new.capability {
        changes.push(Change::Capability);
    }
    changes
}

fn kind(what: &What) -> &'static str {
    match what {
        What::Directory(_) => "folder",
        What::File(..) => "file",
        What::Symlink(_) => "symlink",
        What::HardLink(_) => "hard link",
        What::CharDevice(..) | What::BlockDevice(..) => "device",
        What::Fifo => "named pipe",
        What::Whiteout => "whiteout",
    }
}
