use std::io::{self, Read};

use dfbuild_image::{Entry, Kind, TreePath};

use super::open::Opened;
use crate::error::{IgnoreRule, StepError};
use crate::steps::origin::Origin;
use crate::steps::tree::Tree;

/// A context whose modes are those that git keeps: folders 0755, files 0755 if their owner may run
/// them, else 0644. What a checkout's umask made of them is in no key and in no layer then.
pub(super) struct NormalisedModes(pub(super) Box<Opened>);

impl NormalisedModes {
    fn normalise(mut entry: Entry) -> Entry {
        const OWNER_EXECUTES: u32 = 0o100;
        entry.mode = match entry.kind {
            Kind::Directory { .. } => 0o755,
            Kind::File { .. } | Kind::HardLink { .. } if entry.mode & OWNER_EXECUTES != 0 => 0o755,
            Kind::File { .. } | Kind::HardLink { .. } => 0o644,
            // No umask ever changes a link, and git knows no devices.
            _ => entry.mode,
        };
        entry
    }
}

impl Tree for NormalisedModes {
    fn get(&self, path: &TreePath) -> Result<Option<Entry>, StepError> {
        Ok(self.0.tree().get(path)?.map(Self::normalise))
    }

    fn read_dir(&self, path: &TreePath) -> Result<Vec<Vec<u8>>, StepError> {
        self.0.tree().read_dir(path)
    }

    fn walk(&self, path: &TreePath) -> Result<Vec<Entry>, StepError> {
        Ok(self.0.tree().walk(path)?.into_iter().map(Self::normalise).collect())
    }

    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + '_>> {
        self.0.tree().open(path)
    }

    fn origin(&self, path: &TreePath) -> Origin {
        self.0.tree().origin(path)
    }

    fn has_clock_time(&self, path: &TreePath) -> bool {
        self.0.tree().has_clock_time(path)
    }

    fn ignored_by(&self, path: &TreePath) -> Option<IgnoreRule> {
        self.0.tree().ignored_by(path)
    }

    fn is_directory(&self, path: &TreePath) -> bool {
        self.0.tree().is_directory(path)
    }

    fn without_rules(&self) -> Option<Box<dyn Tree>> {
        self.0.tree().without_rules()
    }
}
