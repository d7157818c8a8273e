use std::fs::File;
use std::io::Read;
use std::path::Path;

use dfbuild_image::{Digest, Hasher};

use super::Check;
use crate::error::{Error, IoContext};
use crate::leases::parse_hex;
use crate::snapshots::list;

impl Check<'_> {
    /// Every byte of every blob.
    pub(super) fn blobs(&mut self) -> Result<(), Error> {
        for path in list(&self.store.path("blobs/sha256"))? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(expected) = parse_hex(name).filter(|_| path.is_file()) else {
                self.damaged(&path, "is no blob", || self.remove(&path))?;
                continue;
            };
            self.looked.blobs += 1;
            // A collection may be faster.
            let Some(found) = digest_of(&path)? else { continue };
            if found != expected {
                let problem = format!("its bytes have digest {found}");
                self.damaged(&path, problem, || self.remove(&path))?;
            }
        }
        Ok(())
    }
}

/// The digest of a file; `None` if it is not there any more.
fn digest_of(path: &Path) -> Result<Option<Digest>, Error> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.context("open", path)?,
    };
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut buffer).context("read", path)?;
        if count == 0 {
            return Ok(Some(hasher.finish()));
        }
        hasher.update(&buffer[..count]);
    }
}
