//! What each layer of an image adds, overwrites and removes, and what of it is hidden by others.

use std::collections::BTreeMap;

use dfbuild_image::{Digest, Entry, Kind, Platform, TreePath};
use dfbuild_layer::Index;

use crate::engine::Engine;
use crate::error::Error;
use crate::images::rootfs::Rootfs;

/// What a layer of an image does.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # let text = "FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n";
/// # let build = Build::new(BuildContext::Empty).dockerfile_text(text).tag("app");
/// # build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// for report in engine.layer_reports("app", None)? {
///     println!("{}: {} bytes, {} files", report.created_by, report.size, report.changes.len());
///     assert!(report.compressed < report.size);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerReport {
    /// The digest of its archive.
    pub diff_id: Digest,
    /// The instruction that made it, if the history says.
    pub created_by: String,
    /// The length of its archive, in bytes.
    pub size: u64,
    /// The length of its compressed archive, in bytes.
    pub compressed: u64,
    /// What it does to files, in the order of their paths. Folders do not count.
    pub changes: Vec<LayerChange>,
}

/// What a layer does to a file.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # let text = "FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\nCOPY <<EOF /greeting\nbye\nEOF\n";
/// # let build = Build::new(BuildContext::Empty).dockerfile_text(text).tag("app");
/// # build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let reports = engine.layer_reports("app", None)?;
/// let change = &reports[0].changes[0];
/// assert_eq!((change.path.as_str(), change.size), ("/greeting", 6));
/// assert_eq!(change.hidden_by, Some(1)); // By the second COPY.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerChange {
    /// The absolute path.
    pub path: String,
    /// What it does.
    pub kind: LayerChangeKind,
    /// The length of the file in this layer, in bytes; of one that is removed, the length it had.
    pub size: u64,
    /// The number of the layer, from 0, that overwrites or removes what this one wrote.
    pub hidden_by: Option<usize>,
}

/// What a layer does to a file.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # let text = "FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\nCOPY <<EOF /greeting\nbye\nEOF\n";
/// # let build = Build::new(BuildContext::Empty).dockerfile_text(text).tag("app");
/// # build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// use dfbuild::LayerChangeKind;
///
/// let reports = engine.layer_reports("app", None)?;
/// let kinds = reports.iter().map(|report| report.changes[0].kind);
/// assert!(kinds.eq([LayerChangeKind::Added, LayerChangeKind::Overwritten]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerChangeKind {
    /// There was none.
    Added,
    /// There was another one, or the same with another owner, mode or time.
    Overwritten,
    /// There is none any more.
    Removed,
}

impl LayerReport {
    /// How many bytes of its files no container ever sees, because another layer hides them.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// # let text = "FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\nCOPY <<EOF /greeting\nbye\nEOF\n";
    /// # let build = Build::new(BuildContext::Empty).dockerfile_text(text).tag("app");
    /// # build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let reports = engine.layer_reports("app", None)?;
    /// let wasted: u64 = reports.iter().map(|report| report.wasted()).sum();
    /// assert_eq!(wasted, 6); // The first greeting.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wasted(&self) -> u64 {
        let hidden = self.changes.iter().filter(|change| change.hidden_by.is_some());
        hidden.map(|change| change.size).sum()
    }

    /// How many files it has of a kind, and their lengths together.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// # let text = "FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n";
    /// # let build = Build::new(BuildContext::Empty).dockerfile_text(text).tag("app");
    /// # build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// use dfbuild::LayerChangeKind;
    ///
    /// let report = &engine.layer_reports("app", None)?[0];
    /// let (files, bytes) = report.count(LayerChangeKind::Added);
    /// assert_eq!((files, bytes), (1, 6));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count(&self, kind: LayerChangeKind) -> (usize, u64) {
        let sizes = self.changes.iter().filter(|change| change.kind == kind);
        sizes.fold((0, 0), |(count, sum), change| (count + 1, sum + change.size))
    }
}

impl Engine {
    /// Finds what each layer of an image does, the lowest first. Nothing is unpacked.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let reports = engine.layer_reports("app", None)?;
    /// assert_eq!((reports.len(), reports[0].wasted()), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn layer_reports(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Vec<LayerReport>, Error> {
        let _in_use = self.in_use();
        let failed = |error| Error::image(name, error);
        let details = self.inspect(name, platform)?;
        let image = self.local_image(name)?;
        let found = self.local_platform(&image.top, platform);
        let found = found.map_err(|error| Error::image(name, error))?;
        let rootfs = Rootfs::new(self, found.files(self).map_err(failed)?);
        let view = rootfs.view().map_err(failed)?;
        let mut tracking = Tracking::default();
        for (number, index) in view.layers().iter().enumerate() {
            tracking.add(number, index);
        }
        let reports =
            details.layers.into_iter().zip(tracking.changes).map(|(layer, changes)| LayerReport {
                diff_id: layer.diff_id,
                created_by: layer.created_by,
                size: layer.size,
                compressed: layer.blob.size(),
                changes,
            });
        Ok(reports.collect())
    }
}

/// The files that are visible after some layers.
#[derive(Default)]
struct Tracking {
    /// The layer, the place among its changes, and the length.
    visible: BTreeMap<TreePath, (usize, usize, u64)>,
    changes: Vec<Vec<LayerChange>>,
}

impl Tracking {
    fn add(&mut self, number: usize, index: &Index) {
        let mut changes: BTreeMap<TreePath, LayerChange> = BTreeMap::new();
        // Whiteouts count for the layers below only, wherever they stand.
        for entry in index.entries() {
            match entry.kind {
                Kind::Whiteout => self.hide(&entry.path, true, number, &mut changes),
                Kind::Directory { opaque: true } => {
                    self.hide(&entry.path, false, number, &mut changes);
                }
                _ => {}
            }
        }
        for entry in index.entries() {
            self.put(entry, number, &mut changes);
        }
        let places: Vec<TreePath> = changes.keys().cloned().collect();
        for (at, path) in places.iter().enumerate() {
            if let Some(place) = self.visible.get_mut(path).filter(|place| place.0 == number) {
                place.1 = at;
            }
        }
        self.changes.push(changes.into_values().collect());
    }

    /// Takes away what is visible at and below `path`, or only below it.
    fn hide(
        &mut self,
        path: &TreePath,
        itself: bool,
        by: usize,
        changes: &mut BTreeMap<TreePath, LayerChange>,
    ) {
        let below = self.visible.range(path.clone()..).map(|(known, _)| known);
        let hidden: Vec<TreePath> = below
            .take_while(|known| known.starts_with(path))
            .filter(|known| itself || *known != path)
            .cloned()
            .collect();
        for path in hidden {
            let Some((layer, at, size)) = self.visible.remove(&path) else { continue };
            self.note_hidden(layer, at, by);
            let kind = LayerChangeKind::Removed;
            let change = LayerChange { path: path.to_string(), kind, size, hidden_by: None };
            changes.insert(path, change);
        }
    }

    fn put(&mut self, entry: &Entry, number: usize, changes: &mut BTreeMap<TreePath, LayerChange>) {
        let size = match entry.kind {
            Kind::Whiteout => return,
            Kind::Directory { .. } => {
                // A folder in the place of a file.
                if let Some((layer, at, _)) = self.visible.remove(&entry.path) {
                    self.note_hidden(layer, at, number);
                }
                return;
            }
            Kind::File { size, .. } => size,
            _ => 0,
        };
        let was_removed = changes.contains_key(&entry.path);
        let before = self.visible.insert(entry.path.clone(), (number, 0, size));
        if let Some((layer, at, _)) = before {
            self.note_hidden(layer, at, number);
        } else {
            // A file in the place of a folder.
            self.hide(&entry.path, false, number, changes);
        }
        let kind = if before.is_some() || was_removed {
            LayerChangeKind::Overwritten
        } else {
            LayerChangeKind::Added
        };
        let path = entry.path.to_string();
        changes.insert(entry.path.clone(), LayerChange { path, kind, size, hidden_by: None });
    }

    fn note_hidden(&mut self, layer: usize, at: usize, by: usize) {
        if let Some(change) = self.changes.get_mut(layer).and_then(|all| all.get_mut(at)) {
            change.hidden_by = Some(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LayerChangeKind::{Added, Overwritten, Removed};
    use super::*;

    fn file(path: &str, size: u64) -> Entry {
        Entry::new(path, Kind::File { size, digest: Digest::of(path) }, 0o644, 0)
    }

    type Shown = (String, LayerChangeKind, u64, Option<usize>);

    fn tracked(layers: Vec<Vec<Entry>>) -> Vec<Vec<Shown>> {
        let mut tracking = Tracking::default();
        for (number, entries) in layers.into_iter().enumerate() {
            tracking.add(number, &Index::new(entries).unwrap());
        }
        let all = tracking.changes.into_iter().map(|changes| {
            changes.into_iter().map(|it| (it.path, it.kind, it.size, it.hidden_by)).collect()
        });
        all.collect()
    }

    #[test]
    fn what_is_hidden() {
        let found = tracked(vec![
            vec![file("a", 1), file("d/x", 10), file("d/y", 20), file("e/z", 5)],
            vec![Entry::whiteout("a"), file("d/x", 11), Entry::whiteout("e")],
            vec![Entry::new("d", Kind::Directory { opaque: true }, 0o755, 0), file("d/n", 7)],
        ]);
        assert_eq!(
            found[0],
            [
                ("/a".into(), Added, 1, Some(1)),
                ("/d/x".into(), Added, 10, Some(1)),
                ("/d/y".into(), Added, 20, Some(2)),
                ("/e/z".into(), Added, 5, Some(1)),
            ]
        );
        assert_eq!(
            found[1],
            [
                ("/a".into(), Removed, 1, None),
                ("/d/x".into(), Overwritten, 11, Some(2)),
                ("/e/z".into(), Removed, 5, None),
            ]
        );
        assert_eq!(
            found[2],
            [
                ("/d/n".into(), Added, 7, None),
                ("/d/x".into(), Removed, 11, None),
                ("/d/y".into(), Removed, 20, None),
            ]
        );
    }

    #[test]
    fn files_and_folders_take_each_others_places() {
        let found = tracked(vec![
            vec![file("a", 1), file("d/x", 2)],
            vec![Entry::new("a", Kind::DIRECTORY, 0o755, 0), file("a/n", 3), file("d", 4)],
        ]);
        assert_eq!(found[0][0].3, Some(1));
        assert_eq!(found[0][1].3, Some(1));
        let of = |path: &str| found[1].iter().find(|it| it.0 == path).map(|it| it.1);
        assert_eq!((of("/a/n"), of("/d"), of("/d/x")), (Some(Added), Some(Added), Some(Removed)));
    }
}
