use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dfbuild_image::{Digest, Hasher, HashingWriter};
use dfbuild_remote::{BlobSink, FetchOptions, FileInfo, Validators};
use serde::{Deserialize, Serialize};

use super::{Fetcher, auth};
use crate::engine::Engine;
use crate::error::StepError;

/// A file of the network that `ADD` names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct UrlFile {
    /// Not noted: it may have a password in it.
    #[serde(skip)]
    url: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    /// `Last-Modified`, else 1970.
    pub(crate) mtime: i64,
    /// The last part of the address's path.
    pub(crate) name: String,
    /// How the server tells that it is still the same.
    etag: Option<String>,
    last_modified: Option<i64>,
}

/// The name of a file whose address has none (BuildKit `source/http`).
const UNNAMED: &str = "__unnamed__";

/// The files of the network that a build needs, each fetched once: its key depends on what is in
/// them, whatever their address and time. What was seen of them is noted in the store, so that a
/// file that has not changed is not fetched in each build.
#[derive(Default)]
pub(super) struct Urls(Mutex<HashMap<String, Arc<Mutex<Slot>>>>);

/// Locked while the file comes: others can come meanwhile.
#[derive(Default)]
struct Slot {
    file: Option<Arc<UrlFile>>,
    content: Option<PathBuf>,
    /// Why it could not be had when it was fetched ahead, for whoever asks first.
    failure: Option<StepError>,
}

impl Urls {
    pub(super) fn file(
        &self,
        fetcher: &Fetcher<'_>,
        url: &str,
        checksum: Option<&str>,
    ) -> Result<Arc<UrlFile>, StepError> {
        let slot = self.slot(url);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &slot.file {
            return Ok(Arc::clone(file));
        }
        if let Some(failure) = slot.failure.take() {
            return Err(failure);
        }
        let noted = UrlFile::noted(fetcher.engine, url);
        let pinned = noted
            .as_ref()
            .filter(|file| checksum.is_some_and(|checksum| file.digest.to_string() == checksum));
        let file = match pinned {
            Some(pinned) => pinned.clone(),
            None => match download(fetcher, url, noted.as_ref())? {
                Some((file, path)) => {
                    slot.content = Some(path);
                    file.note(fetcher.engine);
                    file
                }
                None => noted.expect("only what was noted can be unchanged"),
            },
        };
        Ok(Arc::clone(slot.file.insert(Arc::new(file))))
    }

    /// Fetches a file that will be asked for.
    pub(super) fn ahead(&self, fetcher: &Fetcher<'_>, url: &str, checksum: Option<&str>) {
        if let Err(failure) = self.file(fetcher, url, checksum) {
            let slot = self.slot(url);
            slot.lock().unwrap_or_else(PoisonError::into_inner).failure = Some(failure);
        }
    }

    pub(super) fn content(
        &self,
        fetcher: &Fetcher<'_>,
        file: &UrlFile,
    ) -> Result<PathBuf, StepError> {
        let slot = self.slot(&file.url);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &slot.content {
            return Ok(path.clone());
        }
        let fresh = download(fetcher, &file.url, None)?;
        let (fresh, path) = fresh.expect("a file of which nothing is known is new");
        if fresh.digest != file.digest {
            // What was noted is wrong, or it changed since this build asked for it.
            fresh.note(fetcher.engine);
            return Err(StepError::UrlChanged { url: dfbuild_remote::without_secrets(&file.url) });
        }
        Ok(slot.content.insert(path).clone())
    }

    /// The same for a file that every build reads: its bytes stay in the store, and are only
    /// fetched again when the file is another one, or they were collected.
    pub(super) fn kept(&self, fetcher: &Fetcher<'_>, file: &UrlFile) -> Result<PathBuf, StepError> {
        let slot = self.slot(&file.url);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.content.is_none() {
            slot.content = file.stored(fetcher)?;
        }
        drop(slot);
        let path = self.content(fetcher, file)?;
        if !fetcher.engine.store().has_blob(&file.digest, file.size) {
            // Without it the next build fetches it again. A store may be full or read-only.
            let _ = file.keep(fetcher, &path);
        }
        Ok(path)
    }

    fn slot(&self, url: &str) -> Arc<Mutex<Slot>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(url.to_owned()).or_default())
    }
}

/// Fetches a file, unless it is `known`.
fn download(
    fetcher: &Fetcher<'_>,
    url: &str,
    known: Option<&UrlFile>,
) -> Result<Option<(UrlFile, PathBuf)>, StepError> {
    let client = fetcher.client(url)?;
    let authorization = auth::for_url(fetcher.secrets(), url)?;
    let options = FetchOptions { authorization, ..FetchOptions::default() };
    let path = fetcher.staging()?.folder("url")?.join("file");
    let mut sink = Digesting::create(&path).map_err(StepError::io("create", &path))?;
    let known = known.map(UrlFile::validators).unwrap_or_default();
    let info = client.download_if_changed(url, &options, &known, &mut sink, &|_| {})?;
    let Some(FileInfo { last_modified, etag, name, .. }) = info else { return Ok(None) };
    let file = UrlFile {
        url: url.to_owned(),
        size: sink.size,
        digest: sink.hasher.finish(),
        mtime: last_modified.unwrap_or(0),
        name: name.unwrap_or_else(|| name_of(url)),
        etag,
        last_modified: last_modified.filter(|time| is_settled(*time)),
    };
    Ok(Some((file, path)))
}

/// Whether a file of this time can no longer change without its time showing it, which has whole
/// seconds and another machine's clock (RFC 9110, 8.8.2.2).
fn is_settled(modified: i64) -> bool {
    let modified = UNIX_EPOCH + Duration::from_secs(modified.max(0).unsigned_abs());
    SystemTime::now().duration_since(modified).is_ok_and(|age| age >= Duration::from_secs(60))
}

impl UrlFile {
    fn validators(&self) -> Validators {
        Validators { etag: self.etag.clone(), last_modified: self.last_modified }
    }

    /// A copy of its bytes, if the store has them whole.
    fn stored(&self, fetcher: &Fetcher<'_>) -> Result<Option<PathBuf>, StepError> {
        let store = fetcher.engine.store();
        if !store.has_blob(&self.digest, self.size) {
            return Ok(None);
        }
        let Ok(mut blob) = store.open_blob(&self.digest) else { return Ok(None) };
        let path = fetcher.staging()?.folder("url")?.join("file");
        let failed = || StepError::io("write", &path);
        let mut copy = HashingWriter::new(File::create(&path).map_err(failed())?);
        std::io::copy(&mut blob, &mut copy).map_err(failed())?;
        let (_, found, _) = copy.finish();
        if found == self.digest {
            return Ok(Some(path));
        }
        store.drop_blob(&self.digest)?;
        Ok(None)
    }

    fn keep(&self, fetcher: &Fetcher<'_>, path: &Path) -> Result<(), StepError> {
        let staging = fetcher.engine.store().stage()?;
        let mut file = staging.file()?;
        let copied = File::open(path).and_then(|mut from| std::io::copy(&mut from, &mut file));
        copied.map_err(StepError::io("copy", path))?;
        Ok(fetcher.engine.store().put_staged(file, &self.digest)?)
    }

    fn note_path(engine: &Engine, url: &str) -> PathBuf {
        engine.store().scratch_path(&format!("url-{}", Digest::of(url).hex()))
    }

    /// What an earlier build noted. A note that is torn is none.
    fn noted(engine: &Engine, url: &str) -> Option<Self> {
        let bytes = std::fs::read(Self::note_path(engine, url)).ok()?;
        let noted: Self = serde_json::from_slice(&bytes).ok()?;
        Some(Self { url: url.to_owned(), ..noted })
    }

    /// Without a note the file is fetched again the next time, and nothing else.
    fn note(&self, engine: &Engine) {
        if let Ok(json) = serde_json::to_vec(self) {
            let _ = std::fs::write(Self::note_path(engine, &self.url), json);
        }
    }
}

/// A file that is digested while it is written.
struct Digesting {
    file: File,
    hasher: Hasher,
    size: u64,
}

impl Digesting {
    fn create(path: &std::path::Path) -> std::io::Result<Self> {
        Ok(Self { file: File::create(path)?, hasher: Hasher::new(), size: 0 })
    }
}

impl BlobSink for Digesting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        BlobSink::write(&mut self.file, bytes)
    }

    fn restart(&mut self) -> std::io::Result<()> {
        (self.hasher, self.size) = (Hasher::new(), 0);
        BlobSink::restart(&mut self.file)
    }
}

/// The last part of an address that ends with a slash, as Go's `path.Base` gives it.
fn name_of(url: &str) -> String {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let names = path.split('/').skip(1).filter(|name| !name.is_empty());
    names.last().unwrap_or(UNNAMED).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name_of("http://host/a/b/?q=/x"), "b");
        assert_eq!(name_of("http://host/"), "__unnamed__");
        assert_eq!(name_of("http://host"), "__unnamed__");
    }

    #[test]
    fn a_time_that_is_too_new_says_nothing() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        assert!(!is_settled(now) && !is_settled(now + 1000) && !is_settled(now - 10));
        assert!(is_settled(now - 61) && is_settled(0) && is_settled(-5));
    }
}
