use dfbuild_image::Digest;

use super::Check;
use crate::error::Error;
use crate::files::read_checked;
use crate::snapshots::list;
use crate::store::Store;

impl Check<'_> {
    /// The results of steps: each leads to a layer that can be had.
    pub(super) fn records(&mut self) -> Result<(), Error> {
        for path in
            list(&self.store.path("records"))?.iter().flat_map(|folder| list(folder)).flatten()
        {
            self.looked.records += 1;
            // One that was removed meanwhile is none.
            let Some(bytes) = read_checked(&path) else {
                if path.exists() {
                    self.damaged(&path, "its digest does not match", || self.remove(&path))?;
                }
                continue;
            };
            match self.meaning.record(&bytes) {
                None => {
                    let problem = "is not a record of this version".to_owned();
                    self.found(&path, problem, false, || self.remove(&path))?;
                }
                Some(promised) => {
                    let Some(layer) = promised.first() else { continue };
                    if !self.store.can_have_layer(layer)? {
                        let problem = format!("leads to layer {layer}, of which nothing is left");
                        self.found(&path, problem, false, || self.remove(&path))?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Store {
    /// Whether there is a folder or a blob of a layer, or a blob elsewhere.
    fn can_have_layer(&self, diff_id: &Digest) -> Result<bool, Error> {
        Ok(self.has_marker(diff_id)? || self.names_a_blob(diff_id))
    }
}
