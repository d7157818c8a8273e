use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use dfbuild_image::{Digest, HashingWriter, TreePath};
use dfbuild_layer::archive::{decompress_within, detect};
use dfbuild_store::{StagedFile, Staging};

use super::{LoadError, LoadSource, WHAT_THERE_IS};
use crate::engine::Engine;
use crate::error::StepError;

/// The files of an archive or a folder, by their paths. Nothing is ever written at such a path.
pub(super) struct Files(Place);

enum Place {
    Folder(PathBuf),
    Archive {
        files: Mutex<HashMap<String, Staged>>,
        /// Symbolic and hard links of old Docker archives, with their targets.
        links: HashMap<String, String>,
    },
}

/// A file that was read, with the digest of its bytes.
pub(super) struct Staged {
    pub(super) file: StagedFile,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// Documents are small; whatever is larger is none.
const MOST_DOCUMENT_BYTES: u64 = 64 << 20;

/// As many links as an honest archive has in a row.
const MOST_LINKS: usize = 8;

impl Files {
    /// Reads an archive to the staging folder. A folder is left where it is.
    pub(super) fn read(
        engine: &Engine,
        source: LoadSource,
        staging: &Staging,
    ) -> Result<Self, LoadError> {
        let stream: Box<dyn Read> = match source {
            LoadSource::Path(path) if path.is_dir() => return Ok(Self(Place::Folder(path))),
            LoadSource::Path(path) => {
                Box::new(File::open(&path).map_err(StepError::io("open", path))?)
            }
            LoadSource::Stream(stream) => stream,
        };
        let mut stream = BufReader::with_capacity(128 << 10, stream);
        let mut head = [0; 512];
        let mut length = 0;
        while length < head.len() {
            match stream.read(&mut head[length..])? {
                0 => break,
                count => length += count,
            }
        }
        let compression = detect(&head[..length])
            .ok_or_else(|| LoadError::new("it is no archive").hint(WHAT_THERE_IS))?;
        let whole = Box::new(io::Cursor::new(head[..length].to_vec()).chain(stream));
        let tar = decompress_within(compression, whole, engine.limits());
        Self::unpack(engine, tar, staging)
    }

    fn unpack(
        engine: &Engine,
        tar: Box<dyn Read + '_>,
        staging: &Staging,
    ) -> Result<Self, LoadError> {
        let (mut files, mut links) = (HashMap::new(), HashMap::new());
        let mut archive = tar::Archive::new(engine.ending().watch(tar));
        for member in archive.entries()? {
            let mut member = member?;
            let path = TreePath::new(&*member.path_bytes());
            let name = plain_name(&path);
            let kind = member.header().entry_type();
            if kind.is_file() || kind.is_contiguous() {
                let mut writer = HashingWriter::new(staging.file()?);
                io::copy(&mut member, &mut writer)?;
                let (file, digest, size) = writer.finish();
                files.insert(name, Staged { file, digest, size });
            } else if let (true, Some(target)) =
                (kind.is_symlink() || kind.is_hard_link(), member.link_name_bytes())
            {
                let from = path.parent().filter(|_| kind.is_symlink()).unwrap_or_default();
                let joined = [from.as_bytes(), b"/", &target].concat();
                links.insert(name, plain_name(&TreePath::new(joined)));
            }
        }
        Ok(Self(Place::Archive { files: Mutex::new(files), links }))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match &self.0 {
            Place::Folder(folder) => folder.join(name).is_file(),
            Place::Archive { files, links } => {
                let files = files.lock().unwrap_or_else(PoisonError::into_inner);
                files.contains_key(target(links, name))
            }
        }
    }

    /// The bytes of a document.
    pub(super) fn document(&self, name: &str) -> Result<Vec<u8>, LoadError> {
        let missing = || LoadError::new(format!("{name} is missing in it"));
        let file = match &self.0 {
            Place::Folder(folder) => match File::open(folder.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
                opened => opened.map_err(StepError::io("open", folder.join(name)))?,
            },
            Place::Archive { files, links } => {
                let files = files.lock().unwrap_or_else(PoisonError::into_inner);
                let staged = files.get(target(links, name)).ok_or_else(missing)?;
                File::open(staged.file.path())?
            }
        };
        let mut bytes = Vec::new();
        file.take(MOST_DOCUMENT_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_DOCUMENT_BYTES {
            return Err(LoadError::new(format!("{name} is too large for a document")));
        }
        Ok(bytes)
    }

    /// A file as one of the staging folder, with its digest. That of an archive is had once by this
    /// name; `None` if it is not there.
    pub(super) fn take(
        &self,
        engine: &Engine,
        name: &str,
        staging: &Staging,
    ) -> Result<Option<Staged>, LoadError> {
        match &self.0 {
            Place::Folder(folder) => {
                let path = folder.join(name);
                let mut file = match fs::File::open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    opened => opened.map_err(StepError::io("open", &path))?,
                };
                let mut writer = HashingWriter::new(engine.ending().watch(staging.file()?));
                io::copy(&mut file, &mut writer).map_err(StepError::io("copy", &path))?;
                let (file, digest, size) = writer.finish();
                Ok(Some(Staged { file: file.into_inner(), digest, size }))
            }
            Place::Archive { files, links } => {
                let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(files.remove(target(links, name)))
            }
        }
    }
}

impl Staged {
    /// Its bytes from the beginning.
    pub(super) fn open(&self) -> io::Result<File> {
        let mut file = File::open(self.file.path())?;
        file.rewind()?;
        Ok(file)
    }
}

fn plain_name(path: &TreePath) -> String {
    String::from_utf8_lossy(path.as_bytes()).into_owned()
}

/// Where the links lead that a name begins.
fn target<'a>(links: &'a HashMap<String, String>, name: &'a str) -> &'a str {
    let mut name = name;
    for _ in 0..MOST_LINKS {
        match links.get(name) {
            Some(next) => name = next,
            None => break,
        }
    }
    name
}
