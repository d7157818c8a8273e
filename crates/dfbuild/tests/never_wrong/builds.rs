use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use dfbuild::{
    Build, BuildContext, Built, Cancel, Compression, Engine, Error, Event, Output, OutputKind,
};
use dfbuild_testkit::{Skipped, fill_base};
use tempfile::TempDir;

use crate::Counts;
use crate::world::World;

/// What all worlds have in common: an image to begin with.
pub(crate) struct Bed {
    folder: TempDir,
}

/// Where one world is built.
pub(crate) struct Room<'a> {
    bed: &'a Bed,
    folder: TempDir,
}

/// A build that differs from the one without cache.
#[derive(Debug)]
pub(crate) struct Difference {
    /// After which edit.
    pub(crate) edit: usize,
    pub(crate) edits: Vec<String>,
    pub(crate) dockerfile: String,
    pub(crate) lines: Vec<String>,
}

/// A path of an image: everything but its time.
type Tree = BTreeMap<PathBuf, String>;

impl Bed {
    pub(crate) fn new() -> Result<Self, Skipped> {
        let folder = TempDir::with_prefix("dfbuild-never-wrong-").unwrap();
        let (root, image) = (folder.path().join("root"), folder.path().join("base"));
        fill_base(&root);
        let engine = Engine::open(folder.path().join("store")).unwrap();
        let text = "FROM scratch\nCOPY / /\nENV PATH=/bin\nRUN true\n";
        let mut output = Output::new(OutputKind::OciDirectory(image));
        output.compression = Compression::Uncompressed;
        let build = Build::new(root).dockerfile_text(text).output(output);
        match build.run(&engine, &|_: &Event| {}, &Cancel::new()) {
            Ok(_) => Ok(Self { folder }),
            Err(error @ Error::Sandbox { .. }) => Err(Skipped::because(error.to_string())),
            Err(error) => panic!("{error:?}"),
        }
    }

    pub(crate) fn room(&self) -> Room<'_> {
        let folder = TempDir::with_prefix("dfbuild-never-wrong-").unwrap();
        Room { bed: self, folder }
    }
}

impl Room<'_> {
    /// Builds with the store of the room and with a fresh one. One line for each difference; `None`
    /// if neither can be built.
    pub(crate) fn compare(&self, world: &World, counts: &mut Counts) -> Option<Vec<String>> {
        let (context, named) =
            (self.folder.path().join("context"), self.folder.path().join("named"));
        world.write(&context, &named);
        let cached = self.build(world, &self.folder.path().join("store"), false);
        let fresh_store = TempDir::new_in(self.folder.path()).unwrap();
        let fresh = self.build(world, fresh_store.path(), true);
        match (cached, fresh) {
            (Ok((built, cached)), Ok((_, fresh))) => {
                counts.cached += built.cached;
                counts.ran += built.ran;
                Some(differences(&cached, &fresh))
            }
            // Which of several mistakes is told depends on which stage comes to its own first.
            (Err(_), Err(_)) => {
                counts.failed += 1;
                None
            }
            (cached, fresh) => {
                let outcome = |result: Result<(Built, Tree), String>| match result {
                    Ok(_) => "succeeds".to_owned(),
                    Err(error) => error,
                };
                Some(vec![format!("cached: {}\nfresh: {}", outcome(cached), outcome(fresh))])
            }
        }
    }

    fn build(&self, world: &World, store: &Path, no_cache: bool) -> Result<(Built, Tree), String> {
        let path = |name: &str| self.folder.path().join(name);
        let archive = path("out.tar");
        let mut output = Output::new(OutputKind::Tar(archive.clone()));
        output.compression = Compression::Uncompressed;
        let base = BuildContext::OciLayout(self.bed.folder.path().join("base"), None);
        let mut build = Build::new(path("context"))
            .dockerfile_text(world.dockerfile())
            .build_context("base", base)
            .build_context("named", BuildContext::Directory(path("named")))
            .no_cache(no_cache)
            .output(output);
        for (name, value) in &world.args {
            build = build.build_arg(name, value);
        }
        let engine = Engine::open(store).unwrap();
        let image = build.run(&engine, &|_: &Event| {}, &Cancel::new());
        let image = image.map_err(|error| error.to_string())?;
        Ok((image, read(&archive)))
    }
}

fn read(archive: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut archive = tar::Archive::new(File::open(archive).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        let what = format!(
            "{:?} mode {:o} owner {}:{} link {:?} content {:?}",
            header.entry_type(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            entry.link_name().unwrap(),
            String::from_utf8_lossy(&content[..content.len().min(200)]),
        );
        tree.insert(entry.path().unwrap().into_owned(), what);
    }
    tree
}

fn differences(cached: &Tree, fresh: &Tree) -> Vec<String> {
    let none = "nothing".to_owned();
    let paths = cached.keys().chain(fresh.keys().filter(|path| !cached.contains_key(*path)));
    let differ = paths.filter(|path| cached.get(*path) != fresh.get(*path));
    let line = |path: &PathBuf| {
        let of = |tree: &Tree| tree.get(path).unwrap_or(&none).clone();
        format!("{}\n  cached: {}\n  fresh:  {}", path.display(), of(cached), of(fresh))
    };
    differ.map(line).collect()
}
