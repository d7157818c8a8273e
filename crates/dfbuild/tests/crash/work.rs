//! What a process is at when it dies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use dfbuild::upkeep::Prune;
use dfbuild::{Build, Cancel, Engine, Event};
use dfbuild_image::Digest;

/// A bit of what changes a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Builds that copy, tags that come and go, and a collection.
    Copies,
    /// Commands, over each other's layers and with a cache mount.
    Commands,
}

impl Work {
    /// As the process that is to die is told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Copies => "copies",
            Self::Commands => "commands",
        }
    }

    pub(crate) fn of_name(name: &str) -> Self {
        let all = [Self::Copies, Self::Commands];
        all.into_iter().find(|work| work.name() == name).unwrap()
    }

    fn dockerfile(self) -> &'static str {
        match self {
            Self::Copies => {
                "FROM scratch AS one\nCOPY a /a\nFROM scratch\nCOPY --from=one / /\n\
                 ARG NAME\nCOPY b /b-$NAME\n"
            }
            Self::Commands => {
                "FROM scratch\nCOPY root /\nARG NAME\n\
                 RUN --mount=type=cache,target=/cache echo $NAME >/cache/$NAME && rm /etc/group\n\
                 RUN mkdir /made && cp /bin/busybox /made/$NAME\n"
            }
        }
    }

    /// Makes the context in a folder.
    pub(crate) fn context(self, folder: &Path) -> PathBuf {
        let context = folder.join("context");
        fs::create_dir_all(context.join("a")).unwrap();
        fs::write(context.join("Dockerfile"), self.dockerfile()).unwrap();
        fs::write(context.join("a/file"), "x".repeat(10_000)).unwrap();
        fs::write(context.join("b"), "b").unwrap();
        for path in ["a/file", "a", "b"] {
            let then = UNIX_EPOCH + Duration::from_secs(1_500_000_000);
            fs::File::open(context.join(path)).unwrap().set_modified(then).unwrap();
        }
        if self == Self::Commands {
            dfbuild_testkit::fill_base(&context.join("root"));
        }
        context
    }

    /// Does it.
    pub(crate) fn run(self, engine: &Engine, context: &Path) {
        build(engine, context, "one");
        if self == Self::Copies {
            engine.untag("one", false).unwrap();
            build(engine, context, "two");
            let mut prune = Prune::default();
            prune.all = true;
            engine.prune(&prune).unwrap();
        }
    }

    /// What it builds, again.
    pub(crate) fn build(self, engine: &Engine, context: &Path) -> Vec<Digest> {
        let names: &[&str] = match self {
            Self::Copies => &["one", "two"],
            Self::Commands => &["one"],
        };
        names.iter().map(|name| build(engine, context, name)).collect()
    }
}

/// Builds an image that is called like its content. The same every time, since it has no time.
fn build(engine: &Engine, context: &Path, name: &str) -> Digest {
    let build = Build::new(context).tag("app").tag(name).build_arg("NAME", name);
    let build = build.build_arg("SOURCE_DATE_EPOCH", "1600000000");
    build.run(engine, &|_: &Event| {}, &Cancel::new()).unwrap().image_id
}
