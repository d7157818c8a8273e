//! Contexts of builds, made from a seed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::random::{Random, Words};

/// One for all rows, so that a figure means the same everywhere.
const SEED: u64 = 7;

/// A base that has just enough to run commands: a static busybox under several names. All tools build
/// it as a stage of the same Dockerfile, because not all of them take a local image as a base.
const BASE: &str = "FROM scratch AS base
COPY .base/busybox /bin/sh
COPY .base/busybox /bin/true
COPY .base/busybox /bin/sleep
COPY .base/busybox /bin/cat
FROM base
";

/// A folder with a Dockerfile.
#[derive(Debug)]
pub(crate) struct Context {
    folder: PathBuf,
}

impl Context {
    /// A context whose Dockerfile is the base and then `dockerfile`.
    pub(crate) fn new(folder: PathBuf, dockerfile: &str) -> io::Result<Self> {
        let context = Self { folder };
        context.write("Dockerfile", format!("{BASE}{dockerfile}"))?;
        context.write(".dockerignore", ".base/*\n!.base/busybox\nDockerfile\n.dockerignore\n")?;
        let busybox =
            ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
        let busybox = busybox.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "no static busybox (Debian: apt install busybox-static)",
            )
        })?;
        fs::create_dir_all(context.folder.join(".base"))?;
        fs::copy(busybox, context.folder.join(".base/busybox"))?;
        Ok(context)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> io::Result<()> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)
    }

    /// Adds a tree of `count` files like an application's: 4.6 kB on average, in a thousand folders.
    pub(crate) fn add_small_files(&self, count: usize) -> io::Result<()> {
        let mut random = Random::new(SEED);
        let words = Words::new(&mut random);
        for number in 0..count {
            let length = 10 + random.below(1500);
            self.write(&small_file(number), words.text(&mut random, length))?;
        }
        Ok(())
    }

    /// Adds a file of `size` bytes, of which every second 4 KiB are noise.
    pub(crate) fn add_half_compressible(
        &self,
        name: &str,
        size: usize,
        seed: u64,
    ) -> io::Result<()> {
        self.write(name, half_compressible(size, seed))
    }
}

/// The path of a file of [`Context::add_small_files`].
pub(crate) fn small_file(number: usize) -> String {
    format!("app/d{:02}/s{:02}/f{number}.js", number % 50, number / 50 % 20)
}

pub(crate) fn half_compressible(size: usize, seed: u64) -> Vec<u8> {
    const PIECE: usize = 4 << 10;
    let mut random = Random::new(SEED ^ seed);
    let words = Words::new(&mut random);
    let mut bytes = Vec::with_capacity(size + 2 * PIECE);
    while bytes.len() < size {
        bytes.extend(random.noise(PIECE));
        // Words alone compress to a third; repeated ones to nearly nothing.
        let text = words.text(&mut random, PIECE / 4);
        bytes.extend(text.bytes().chain(text.bytes()).take(PIECE));
    }
    bytes.truncate(size);
    bytes
}
