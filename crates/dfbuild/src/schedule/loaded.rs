use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;
use std::thread;
use std::time::{Instant, SystemTime};

use dfbuild_dockerfile::parse;
use dfbuild_plan::{BaseRequest, Outcome, plan};

use crate::build::{Build, Built};
use crate::cancel::Cancel;
use crate::contexts::{Contexts, Materials, Opening, Source, project};
use crate::damage::cause_of;
use crate::damaged::Damaged;
use crate::elsewhere::{Elsewhere, Fetcher};
use crate::ending::Ending;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Base, Event, Observer};
use crate::explanation::{EarlyEnd, Explanation};
use crate::images::base_layers::BaseLayers;
use crate::images::export::check_outputs;
use crate::images::finish::parse_tags;
use crate::logs::{LogEnd, Logging};
use crate::options::OutputKind;
use crate::schedule::last_build::LastBuild;
use crate::schedule::no_cache::{check_lines, unknown_stages};
use crate::schedule::planning::{make_plan, plan_input, platforms};
use crate::schedule::progress::Progress;
use crate::schedule::session::Session;
use crate::schedule::slots::Slots;
use crate::secrets::Secrets;
use crate::sharing::{Imports, Lost};
use crate::store_owner;
use crate::verify::{self, Verification};

impl Build {
    /// Builds. Blocks until the image is there.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::{Error, StepError};
    ///
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nCOPY app /\n");
    /// match build.run(&engine, &|_: &Event| {}, &Cancel::new()) {
    ///     Ok(built) => println!("{}", built.image_id),
    ///     Err(Error::Step { step, source }) => {
    ///         assert_eq!((step.line, step.text.as_str()), (2, "COPY app /"));
    ///         assert!(matches!(*source, StepError::NotFound { .. }));
    ///     }
    ///     Err(error) => println!("failed to {error}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(
        &self,
        engine: &Engine,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<Built, Error> {
        match engine.worker() {
            Some(worker) => worker.build(self, engine, observer, &|| cancel.is_cancelled()),
            None => self.load(engine, observer, cancel)?.run(observer),
        }
    }

    /// Gets the context from where it is and reads the Dockerfile, for who wants to look at that
    /// before it is built.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
    /// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let explanation = loaded.explain(&|_: &Event| {})?;
    /// assert_eq!(explanation.missed().count(), 1); // Nothing ran.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load<'e>(
        &self,
        engine: &'e Engine,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<Loaded<'e>, Error> {
        Loaded::new(self, engine, observer, cancel)
    }
}

/// A build whose context is here and whose Dockerfile was read.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM base\nRUN make\n");
/// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let allowed = |image: &String| image.starts_with("registry.example/");
/// if loaded.images().iter().all(allowed) {
///     loaded.run(&|_: &Event| {})?;
/// }
/// # assert!(engine.build_logs()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is built until `run` is called"]
pub struct Loaded<'e> {
    build: Build,
    engine: &'e Engine,
    elsewhere: Elsewhere,
    materials: Materials,
    source: Source,
    ending: Ending,
    /// When the first build began: getting its context counts.
    start: Option<Instant>,
    /// What the caches know that the build reads from; asked once.
    imports: OnceLock<Imports>,
    /// What could not be had from elsewhere.
    lost: Lost,
}

impl fmt::Debug for Loaded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("dockerfile", &self.source.name).finish_non_exhaustive()
    }
}

impl<'e> Loaded<'e> {
    pub(crate) fn new(
        build: &Build,
        engine: &'e Engine,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<Self, Error> {
        let start = Instant::now();
        let ending = Ending::new(cancel, build.timeout.map(|limit| (start + limit, limit)));
        parse_tags(build)?;
        check_outputs(build)?;
        let elsewhere = Elsewhere::new(Secrets::new(&build.secrets));
        let materials = {
            let engine = engine.for_build(&ending);
            let fetcher = Fetcher { engine: &engine, elsewhere: &elsewhere };
            Materials::load(build, &fetcher, observer)
        };
        let materials = materials.map_err(|error| ending.instead_of(error))?;
        let source = Source::read(build, &materials)?;
        Ok(Self {
            build: build.clone(),
            engine,
            elsewhere,
            materials,
            source,
            ending,
            start: Some(start),
            imports: OnceLock::new(),
            lost: Lost::default(),
        })
    }

    /// What messages call the Dockerfile.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let folder = tempfile::tempdir()?;
    /// std::fs::write(folder.path().join("Dockerfile.dev"), "FROM scratch\n")?;
    /// let build = Build::new(folder.path()).dockerfile(folder.path().join("Dockerfile.dev"));
    /// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert!(loaded.dockerfile_name().ends_with("Dockerfile.dev"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dockerfile_name(&self) -> &str {
        &self.source.name
    }

    /// The text of the Dockerfile, which may have mistakes.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::Error;
    ///
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nCPOY . .\n");
    /// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let text = loaded.dockerfile_text().to_owned();
    /// let Err(Error::Dockerfile { diagnostics, .. }) = loaded.run(&|_: &Event| {}) else { panic!() };
    /// let span = diagnostics[0].span;
    /// println!("{}", &text[span.start..span.end]); // What to underline.
    /// # assert!(text[span.start..].starts_with("CPOY"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dockerfile_text(&self) -> &str {
        &self.source.text
    }

    /// The names of the images that the Dockerfile begins with or copies from, as it has them, and as
    /// far as they are known before one of them is seen: `ONBUILD` may name more. None if it has
    /// mistakes.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM base\nCOPY --from=docs / /\n");
    /// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(loaded.images(), ["base", "docs"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn images(&self) -> Vec<String> {
        if self.source.check().is_err() {
            return Vec::new();
        }
        let parsed = parse(&self.source.text);
        let mut input = plan_input(&self.build, &parsed.dockerfile);
        let mut names = BTreeSet::new();
        for platform in platforms(&self.build) {
            input.platform = platform;
            if let Ok(Outcome::Need(requests)) = plan(&input) {
                names.extend(requests.into_keys().map(|request| request.name));
            }
        }
        names.into_iter().collect()
    }

    /// Builds. Blocks until the image is there.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
    /// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(loaded.dockerfile_text().lines().count(), 2);
    /// let built = loaded.run(&|_: &Event| {})?;
    /// assert_eq!(built.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(mut self, observer: &dyn Observer) -> Result<Built, Error> {
        let (engine, ending) = (self.engine, self.ending.clone());
        if let Some(worker) = engine.worker() {
            let is_cancelled = || matches!(ending.reason(), Some(Error::Cancelled));
            return worker.build(&self.build, engine, observer, &is_cancelled);
        }
        let logging = Logging::new(engine, observer, &self.source.name, &self.build.tags);
        let built = self.run_with(engine, &logging);
        logging.ended(match &built {
            Ok(built) => LogEnd::Built(built.image_id.to_string()),
            Err(Error::Cancelled) => LogEnd::Cancelled,
            Err(error) => LogEnd::Failed(error.to_string()),
        });
        // Whoever wants it to end does not want to wait for that.
        if ending.reason().is_none() {
            engine.keep_limit(observer);
        }
        built
    }

    /// Builds twice, each time in an empty store that vanishes afterwards, and compares what came
    /// out. No step runs in the same second of the clock twice, so that a time that was written to a
    /// file shows, if it has seconds. Base images are taken from the engine's store; nothing else is, and nothing is kept,
    /// handed out or pushed.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let text = "FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n";
    /// let build = Build::new(BuildContext::Empty)
    ///     .dockerfile_text(text)
    ///     .build_arg("SOURCE_DATE_EPOCH", "0"); // Else the time of the build is in the image.
    /// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let verification = loaded.verify(&|_: &Event| {})?;
    /// assert!(verification.difference.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(mut self, observer: &dyn Observer) -> Result<Verification, Error> {
        if let Some(worker) = self.engine.worker() {
            let is_cancelled = || matches!(self.ending.reason(), Some(Error::Cancelled));
            return worker.verify(&self.build, self.engine, observer, &is_cancelled);
        }
        let build = &mut self.build;
        build.tags.clear();
        build.push = false;
        build.cache_from.clear();
        build.cache_to.clear();
        // The form of the image still is that of the first output.
        build.outputs.truncate(1);
        build.outputs.iter_mut().for_each(|output| output.kind = OutputKind::Store);
        let staging = self.engine.store().stage()?;
        let apart = |name: &str, ending: &Ending| self.engine.apart(staging.folder(name)?, ending);
        let engines = [apart("first", &self.ending)?, apart("second", &self.ending)?];
        let mut attempt = |number: &str, engine: &Engine| {
            let text = format!("building for the {number} time in a store of its own");
            observer.event(&Event::Notice { text });
            self.run_with(engine, observer)
        };
        let first = attempt("first", &engines[0])?;
        if first.ran > 0 {
            thread::sleep(verify::until_next_second(SystemTime::now()));
        }
        let second = attempt("second", &engines[1])?;
        let difference = verify::compare((&engines[0], &first), (&engines[1], &second))?;
        Ok(Verification { first, second, difference })
    }

    fn run_with(&mut self, engine: &Engine, observer: &dyn Observer) -> Result<Built, Error> {
        self.source.check()?;
        let start = Instant::now();
        // What this build sees in the store must stay there.
        let _in_use = engine.in_use();
        let mut dropped = BTreeSet::new();
        loop {
            let engine = engine.for_attempt(&self.ending, &self.lost);
            let outcome = self.attempt(&engine, observer);
            for text in self.lost.take_reasons() {
                observer.event(&Event::Notice { text });
            }
            let mut image = match outcome {
                Ok(image) => image,
                // What was damaged is gone by now, so the next attempt makes or fetches it anew.
                Err(error) => match cause_of(&error) {
                    Some(damaged) if self.ending.reason().is_none() && dropped.insert(damaged) => {
                        engine.drop_damaged(damaged)?;
                        if let Some(text) = repair(damaged) {
                            observer.event(&Event::Notice { text });
                        }
                        self.ending = self.ending.anew();
                        continue;
                    }
                    _ => return Err(self.ending.instead_of(error)),
                },
            };
            image.duration = self.start.take().unwrap_or(start).elapsed();
            return Ok(image);
        }
    }

    /// Finds out what a build would run and why, without running anything. Images that it begins
    /// with are fetched as the build would.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
    /// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// for (step, reasons) in loaded.explain(&|_: &Event| {})?.missed() {
    ///     println!("line {} runs: {reasons:?}", step.line);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(self, observer: &dyn Observer) -> Result<Explanation, Error> {
        self.source.check()?;
        let engine = self.engine.for_build(&self.ending);
        let (build, source) = (&self.build, &self.source);
        let contexts = self.contexts(&engine)?;
        let imports = self.imports.get_or_init(|| Imports::load(build, &engine, observer));
        let (graph, bases) = make_plan(build, &engine, imports, source, observer)?;
        check_lines(build, source, &graph)?;
        let progress = Progress::new(observer, &graph);
        let slots = Slots::new(default_jobs());
        let text = &source.text;
        let elsewhere = &self.elsewhere;
        let mut session = Session::new(
            &engine, build, &graph, contexts, elsewhere, imports, bases, progress, slots, text,
        );
        let explanation = session.foresee();
        session.contexts.save(&engine);
        explanation.map_err(|error| self.ending.instead_of(error))
    }

    /// Why the last build of this Dockerfile and context ran what it ran. `None` if there was none.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let folder = tempfile::tempdir()?;
    /// let build = Build::new(folder.path()).dockerfile_text("FROM scratch\nRUN make\n");
    /// let nobody = |_: &Event| {};
    /// build.run(&engine, &nobody, &Cancel::new())?;
    /// let loaded = build.load(&engine, &nobody, &Cancel::new())?;
    /// let explanation = loaded.last_explanation().unwrap();
    /// assert_eq!(explanation.missed().count(), 1); // Then it was new, by now it is cached.
    /// assert_eq!(loaded.explain(&nobody)?.missed().count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last_explanation(&self) -> Option<Explanation> {
        let project = project(&self.materials, &self.source);
        LastBuild::read(self.engine, &project).map(|last| last.explanation)
    }

    fn contexts(&self, engine: &Engine) -> Result<Contexts, Error> {
        let opening = Opening {
            normalise_modes: self.build.normalise_modes,
            stat_cache: !self.build.no_stat_cache,
            fast: self.build.fast_paths,
        };
        Contexts::open(&self.materials, &self.source, engine, &opening)
    }

    /// Builds with what is in the store now.
    fn attempt(&self, engine: &Engine, observer: &dyn Observer) -> Result<Built, Error> {
        let (build, source) = (&self.build, &self.source);
        let contexts = self.contexts(engine)?;
        let imports = self.imports.get_or_init(|| Imports::load(build, engine, observer));
        let (graph, bases) = make_plan(build, engine, imports, source, observer)?;
        check_lines(build, source, &graph)?;
        for text in unknown_stages(build, source) {
            observer.event(&Event::Notice { text });
        }
        let progress = Progress::new(observer, &graph);
        if !bases.is_empty() {
            observer.event(&Event::BasesFound { bases: known(&bases) });
            // Whoever does not want to build on them has said so by now.
            if let Some(reason) = self.ending.reason() {
                return Err(reason);
            }
        }
        let slots = Slots::new(build.jobs.unwrap_or_else(default_jobs));
        let (elsewhere, text) = (&self.elsewhere, &source.text);
        let session = Session::new(
            engine, build, &graph, contexts, elsewhere, imports, bases, progress, slots, text,
        );
        if session.check_commands()?
            && let Some(text) = engine.limits_of_one_id()
        {
            session.progress.notice(text);
        }
        if let Some(text) = store_owner::of_another(engine.store().root()) {
            session.progress.notice(text);
        }
        let outcome = session.build();
        // However it ended: what was learned and made is worth keeping.
        session.contexts.save(engine);
        let mut explanation = session.explanation();
        if let Err(error) = &outcome {
            explanation.ended_early(match error {
                Error::Cancelled => EarlyEnd::Cancelled,
                _ => EarlyEnd::Failed,
            });
        }
        let busts = explanation.busts.clone();
        session.keep_last_build(explanation);
        session.note_stages();
        let span = tracing::info_span!("syncing the store");
        let committed = engine.store().commit();
        drop(span);
        let image = outcome?;
        committed?;
        if !busts.is_empty() {
            session.progress.tell(&Event::Busted { busts });
        }
        Ok(image)
    }
}

fn known(bases: &BTreeMap<BaseRequest, BaseLayers>) -> Vec<Base> {
    let known = bases.iter().map(|(request, base)| Base {
        name: request.name.clone(),
        platform: request.platform.clone(),
        config: base.config.clone(),
    });
    known.collect()
}

/// What to say of damage that was repaired.
fn repair(damaged: Damaged) -> Option<String> {
    match damaged {
        // Why it could not be had was told.
        Damaged::Remote(_) => None,
        Damaged::Blob(_) | Damaged::Layer(_) => Some(format!(
            "{damaged} of the store was damaged; it was removed, and what needs it is made again"
        )),
    }
}

/// Steps mostly wait, for the network or for each other, so there are more than processors.
fn default_jobs() -> usize {
    thread::available_parallelism().map_or(1, usize::from).saturating_mul(4).max(16)
}
