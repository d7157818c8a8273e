use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dfbuild_image::{Digest, HashingWriter};
use dfbuild_remote::{Client, FetchOptions};
use dfbuild_store::Staging;

use crate::engine::Engine;
use crate::error::StepError;

/// A file of the network that `ADD` names.
#[derive(Debug, Clone)]
pub(crate) struct FetchedFile {
    /// Where it lies as long as the build runs.
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    /// `Last-Modified`, else 1970.
    pub(crate) mtime: i64,
    /// The last part of the address's path.
    pub(crate) name: String,
}

/// The name of a file whose address has none (BuildKit `source/http`).
const UNNAMED: &str = "__unnamed__";

/// The files of the network that a build needs, each fetched once: its key depends on what is in
/// them, whatever their address and time.
#[derive(Default)]
pub(crate) struct Fetches {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    staging: Option<Staging>,
    files: HashMap<String, Arc<FetchedFile>>,
}

impl Fetches {
    /// The file at `url`.
    pub(crate) fn get(&self, engine: &Engine, url: &str) -> Result<Arc<FetchedFile>, StepError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.files.get(url) {
            return Ok(Arc::clone(known));
        }
        let Some(client) = engine.client()? else {
            let text = format!("fetch {url}: this build has no network");
            return Err(StepError::Unsupported(text));
        };
        let staging = match state.staging.take() {
            Some(staging) => staging,
            None => engine.store().stage()?,
        };
        let number = state.files.len();
        let fetched = fetch(client, url, staging.path().join(format!("url-{number}")));
        state.staging = Some(staging);
        let fetched = Arc::new(fetched?);
        state.files.insert(url.to_owned(), Arc::clone(&fetched));
        Ok(fetched)
    }
}

fn fetch(client: &Client, url: &str, path: PathBuf) -> Result<FetchedFile, StepError> {
    let mut answer = client.fetch(url, &FetchOptions::default())?;
    let file = std::fs::File::create(&path).map_err(StepError::io("create", &path))?;
    let mut writer = HashingWriter::new(io::BufWriter::new(file));
    io::copy(&mut answer.body, &mut writer).map_err(StepError::io("fetch", url))?;
    writer.flush().map_err(StepError::io("write", &path))?;
    let (_, digest, size) = writer.finish();
    Ok(FetchedFile {
        path,
        size,
        digest,
        mtime: answer.info.last_modified.unwrap_or(0),
        name: answer.info.name.unwrap_or_else(|| name_of(url)),
    })
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
    use super::name_of;

    #[test]
    fn names() {
        assert_eq!(name_of("http://host/a/b/?q=/x"), "b");
        assert_eq!(name_of("http://host/"), "__unnamed__");
        assert_eq!(name_of("http://host"), "__unnamed__");
    }
}
