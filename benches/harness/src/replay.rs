//! Row K: the commits of two applications, one after the other.

use std::fs;
use std::io;
use std::path::Path;

use crate::compare::{differences, tree};
use crate::contexts::Context;
use crate::daemons::Daemons;
use crate::measure::{Cost, measure, measure_and_listen};
use crate::peers::{Job, Peer};
use crate::random::{Random, Words};
use crate::report::{PeerRuns, Row};

pub(crate) const TITLE: &str = "replay of the commits of two applications";
/// Every so many commits the result is compared with a build from nothing.
const CHECK_EVERY: usize = 10;

/// An application with a Dockerfile as its kind has them. Dependencies are made up by commands: the
/// network would be all that is measured.
struct Application {
    name: &'static str,
    dependencies: &'static str,
    sources: &'static str,
    dockerfile: &'static str,
}

const APPLICATIONS: [Application; 2] = [
    Application {
        name: "django",
        dependencies: "requirements.txt",
        sources: "shop/views",
        dockerfile: "COPY requirements.txt /app/requirements.txt\n\
            RUN n=0; while read line; do n=$((n+1)); for f in 1 2 3 4 5 6 7 8 9; do \
            echo \"$line $f\" > /lib-$n-$f; done; done < /app/requirements.txt; sleep 0.3\n\
            WORKDIR /app\nCOPY . .\nRUN cat /app/shop/views/*.py > /static.css\n",
    },
    Application {
        name: "node",
        dependencies: "package.json",
        sources: "src",
        dockerfile: "WORKDIR /srv\nCOPY package.json ./\n\
            RUN n=0; while read line; do n=$((n+1)); echo \"$line\" > /module-$n; done < package.json; \
            sleep 0.3\nCOPY src src\nRUN cat src/*.py > /srv/bundle.js; sleep 0.1\nCOPY . .\n",
    },
];

/// The files of an application at a commit.
struct Project {
    context: Context,
    application: &'static Application,
    random: Random,
    words: Words,
    files: usize,
    dependencies: usize,
    lines: usize,
}

impl Project {
    fn new(folder: &Path, application: &'static Application) -> io::Result<Self> {
        let context = Context::new(folder.to_owned(), application.dockerfile)?;
        let mut random = Random::new(application.name.len() as u64);
        let words = Words::new(&mut random);
        let mut project =
            Self { context, application, random, words, files: 0, dependencies: 0, lines: 0 };
        for _ in 0..400 {
            project.add_file()?;
        }
        (0..20).try_for_each(|_| project.add_dependency())?;
        Ok(project)
    }

    fn write_file(&mut self, number: usize) -> io::Result<()> {
        let count = 50 + self.random.below(1500);
        let text = self.words.text(&mut self.random, count);
        self.context.write(&format!("{}/f{number}.py", self.application.sources), text)
    }

    fn add_file(&mut self) -> io::Result<()> {
        self.files += 1;
        self.write_file(self.files - 1)
    }

    fn add_dependency(&mut self) -> io::Result<()> {
        self.dependencies += 1;
        let lines: Vec<String> = (0..self.dependencies)
            .map(|n| format!("package{n}=={}\n", self.dependencies - n))
            .collect();
        self.context.write(self.application.dependencies, lines.concat())
    }

    /// Edits of sources mostly; sometimes a file more, a dependency, or a line of the Dockerfile.
    fn commit(&mut self) -> io::Result<()> {
        match self.random.below(100) {
            0..78 => {
                for _ in 0..=self.random.below(3) {
                    let number = self.random.below(self.files);
                    self.write_file(number)?;
                }
                Ok(())
            }
            78..88 => self.add_file(),
            88..95 => self.add_dependency(),
            _ => {
                self.lines += 1;
                let lines: Vec<String> =
                    (0..self.lines).map(|n| format!("RUN echo {n} > /line{n}\n")).collect();
                let own = format!("{}{}", self.application.dockerfile, lines.concat());
                Context::new(self.context.folder().to_owned(), &own).map(drop)
            }
        }
    }
}

/// Replays `commits` of each application, `runs` times from nothing. The cost of a run is that of all
/// builds together.
pub(crate) fn run(
    peers: &[Box<dyn Peer>],
    runs: usize,
    commits: usize,
    work: &Path,
) -> io::Result<Row> {
    let mut results: Vec<PeerRuns> = peers.iter().map(|peer| PeerRuns::new(peer.name())).collect();
    let mut wrong = vec![0; peers.len()];
    for _ in 0..runs {
        let replayed = replay(peers, commits, work, &mut wrong)?;
        for (at, (replayed, result)) in replayed.into_iter().zip(&mut results).enumerate() {
            result.runs.push(replayed.cost);
            result.stored = replayed.stored;
            result.counts = replayed.counts(wrong[at]);
        }
    }
    Ok(Row { id: "K".to_owned(), title: TITLE.to_owned(), bar: 0.25, peers: results })
}

/// What all commits together were for one builder.
struct Replayed {
    cost: Cost,
    /// Steps that ran, if it says so.
    ran: Option<usize>,
    /// Bytes it kept at the end, if it says so.
    stored: Option<u64>,
}

impl Replayed {
    fn add(&mut self, cost: Cost, ran: Option<usize>) {
        let sum = &mut self.cost;
        sum.wall += cost.wall;
        sum.user += cost.user;
        sum.system += cost.system;
        sum.peak_memory = sum.peak_memory.max(cost.peak_memory);
        self.ran = self.ran.zip(ran).map(|(sum, ran)| sum + ran);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and mebibytes for people")]
    fn counts(&self, wrong: u32) -> Vec<(String, f64)> {
        let ran = self.ran.map(|ran| ("steps run", ran as f64));
        let stored = self.stored.map(|bytes| ("MiB stored", bytes as f64 / 1_048_576.0));
        let counts = [ran, Some(("wrong hits", f64::from(wrong))), stored];
        counts.into_iter().flatten().map(|(name, count)| (name.to_owned(), count)).collect()
    }
}

fn replay(
    peers: &[Box<dyn Peer>],
    commits: usize,
    work: &Path,
    wrong: &mut [u32],
) -> io::Result<Vec<Replayed>> {
    let nothing = Cost { wall: 0.0, user: 0.0, system: 0.0, peak_memory: 0 };
    let start = |_| Replayed { cost: nothing, ran: Some(0), stored: None };
    let mut replayed: Vec<Replayed> = peers.iter().map(start).collect();
    peers.iter().try_for_each(|peer| peer.reset())?;
    for application in &APPLICATIONS {
        let folder = work.join(application.name);
        let mut project = Project::new(&folder, application)?;
        for number in 0..commits {
            if number > 0 {
                project.commit()?;
            }
            for (peer, replayed) in peers.iter().zip(&mut replayed) {
                let job = Job { tell: true, ..Job::new(&folder) };
                let daemons = Daemons::of(&**peer);
                let (mut cost, log) = measure_and_listen(&peer.build(&job))?;
                cost.peak_memory += daemons.peak_memory();
                replayed.add(cost, peer.ran(&log));
            }
            if number % CHECK_EVERY == CHECK_EVERY - 1 {
                check(peers, &folder, work, wrong)?;
            }
        }
        fs::remove_dir_all(&folder)?;
    }
    for (peer, replayed) in peers.iter().zip(&mut replayed) {
        replayed.stored = peer.stored();
        peer.reset()?;
    }
    Ok(replayed)
}

/// Counts who has another result now than a build of the same commit that knows nothing.
fn check(peers: &[Box<dyn Peer>], folder: &Path, work: &Path, wrong: &mut [u32]) -> io::Result<()> {
    let (job, exported) = (Job::new(folder), work.join("exported"));
    let first = peers.first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut fresh = first.build(&job);
    fresh.arg("--no-cache").arg("-o").arg(format!("type=local,dest={}", exported.display()));
    measure(&fresh)?;
    let expected = tree(&exported)?;
    fs::remove_dir_all(&exported)?;
    for (peer, wrong) in peers.iter().zip(wrong) {
        peer.export(&job, &exported)?;
        let found = differences(&expected, &tree(&exported)?);
        *wrong += u32::from(!found.is_empty());
        fs::remove_dir_all(&exported)?;
    }
    Ok(())
}
