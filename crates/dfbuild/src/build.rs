use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use dfbuild_image::{Descriptor, Digest, Platform, Reference};
use serde::{Deserialize, Serialize};

use crate::options::{
    Annotation, AnnotationTarget, BuildContext, Output, Secret, SecretLeak, SshAgent, Ulimit,
};
use crate::sharing::{CacheExport, CacheSource};

/// What to build. Each method changes one thing and returns the build, so that calls can be
/// chained; the defaults are those of `docker build`.
///
/// ```
/// use dfbuild::{Build, BuildContext, Cancel, Event};
///
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let build = Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch AS base\nARG VERSION\nRUN make $VERSION\nFROM base AS test\nRUN check\n")
///     .build_arg("VERSION", "1.0")
///     .target("base")
///     .tag("app:1.0");
/// let built = build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// assert_eq!((built.ran, built.cached), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[must_use = "a build does nothing until `run` is called"]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub struct Build {
    pub(crate) context: BuildContext,
    pub(crate) dockerfile: Dockerfile,
    pub(crate) tags: Vec<String>,
    pub(crate) target: Option<String>,
    pub(crate) build_args: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) build_contexts: BTreeMap<String, BuildContext>,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) pull: bool,
    pub(crate) push: bool,
    pub(crate) push_by_digest: bool,
    pub(crate) no_cache: bool,
    pub(crate) no_cache_filter: Vec<String>,
    pub(crate) no_cache_steps: Vec<usize>,
    pub(crate) cache_max_age: Option<Duration>,
    pub(crate) require_cache: bool,
    pub(crate) no_stat_cache: bool,
    pub(crate) normalise_modes: bool,
    pub(crate) cache_from: Vec<CacheSource>,
    pub(crate) cache_to: Vec<CacheExport>,
    pub(crate) outputs: Vec<Output>,
    /// Not written: they are nobody's business.
    #[serde(skip)]
    pub(crate) secrets: Vec<Secret>,
    pub(crate) secret_leak: SecretLeak,
    pub(crate) ssh: Vec<SshAgent>,
    pub(crate) network_none: bool,
    pub(crate) allow_insecure: bool,
    pub(crate) add_hosts: Vec<(String, String)>,
    pub(crate) shm_size: Option<u64>,
    pub(crate) ulimits: Vec<Ulimit>,
    pub(crate) resolv_conf: Option<Vec<u8>>,
    pub(crate) jobs: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) fast_paths: bool,
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Dockerfile {
    /// `Dockerfile` in the context.
    Default,
    /// A file. A relative path is taken from the working directory, as `docker build -f` does; in
    /// a context that is no folder it is one of its files.
    File(PathBuf),
    /// Here.
    Text(String),
}

impl Build {
    /// A build of `context`: a folder, or one of the other [`BuildContext`]s.
    ///
    /// ```
    /// use dfbuild::{Build, BuildContext};
    ///
    /// let of_a_folder = Build::new("project");
    /// let of_a_repository = Build::new(BuildContext::parse("https://github.com/me/project.git#main"));
    /// let of_nothing = Build::new(BuildContext::Empty);
    /// ```
    pub fn new(context: impl Into<BuildContext>) -> Self {
        Self {
            context: context.into(),
            dockerfile: Dockerfile::Default,
            tags: Vec::new(),
            target: None,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            build_contexts: BTreeMap::new(),
            platforms: Vec::new(),
            annotations: Vec::new(),
            pull: false,
            push: false,
            push_by_digest: false,
            no_cache: false,
            no_cache_filter: Vec::new(),
            no_cache_steps: Vec::new(),
            cache_max_age: None,
            require_cache: false,
            no_stat_cache: false,
            normalise_modes: false,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            outputs: Vec::new(),
            secrets: Vec::new(),
            secret_leak: SecretLeak::default(),
            ssh: Vec::new(),
            network_none: false,
            allow_insecure: false,
            add_hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
            resolv_conf: None,
            jobs: None,
            timeout: None,
            fast_paths: true,
        }
    }

    /// The Dockerfile to read, instead of `Dockerfile` in the context.
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").dockerfile("project/Dockerfile.release");
    /// ```
    pub fn dockerfile(mut self, path: impl Into<PathBuf>) -> Self {
        self.dockerfile = Dockerfile::File(path.into());
        self
    }

    /// The text of the Dockerfile.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let built = Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nENV A=b\n")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(built.layers, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dockerfile_text(mut self, text: impl Into<String>) -> Self {
        self.dockerfile = Dockerfile::Text(text.into());
        self
    }

    /// A name for the image; may be given several times.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let built = Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\n")
    ///     .tag("app")
    ///     .tag("registry.example/app:1.0")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(built.tags[0].to_string(), "docker.io/library/app:latest");
    /// assert_eq!(engine.images()?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tag(mut self, name: impl Into<String>) -> Self {
        self.tags.push(name.into());
        self
    }

    /// The stage to build, by its name, instead of the last one.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch AS base\nRUN make\nFROM base\nRUN check\n")
    ///     .target("base");
    /// assert_eq!(build.run(&engine, &|_: &Event| {}, &Cancel::new())?.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn target(mut self, stage: impl Into<String>) -> Self {
        self.target = Some(stage.into());
        self
    }

    /// A value for an `ARG`.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = |version: &str| {
    ///     Build::new(BuildContext::Empty)
    ///         .dockerfile_text("FROM scratch\nARG VERSION\nRUN make\n")
    ///         .build_arg("VERSION", version)
    ///         .run(&engine, &|_: &Event| {}, &Cancel::new())
    /// };
    /// assert_eq!(build("1.0")?.ran, 1);
    /// assert_eq!(build("1.1")?.ran, 1); // Another value is another step,
    /// assert_eq!(build("1.0")?.cached, 1); // and the first one is still known.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build_arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.build_args.insert(name.into(), value.into());
        self
    }

    /// A label that wins over the Dockerfile's.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL version=0\n")
    ///     .label("version", "1.0")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let config = engine.inspect("app", None)?.config.config;
    /// assert_eq!(config.labels["version"], "1.0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// A tree of files or an image that the Dockerfile can name.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let folder = tempfile::tempdir()?;
    /// std::fs::write(folder.path().join("page.html"), "hello")?;
    /// let built = Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY --from=docs page.html /\n")
    ///     .build_context("docs", BuildContext::from(folder.path()))
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(built.layers, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build_context(mut self, name: impl Into<String>, context: BuildContext) -> Self {
        self.build_contexts.insert(name.into(), context);
        self
    }

    /// A platform to build for, instead of this machine's; may be given several times. For more
    /// than one the result is an image index.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let built = Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .platform("linux/amd64".parse()?)
    ///     .platform("linux/arm64".parse()?)
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(built.platforms.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn platform(mut self, platform: Platform) -> Self {
        if !self.platforms.contains(&platform) {
            self.platforms.push(platform);
        }
        self
    }

    /// A note on the image; may be given several times.
    ///
    /// ```
    /// use dfbuild::{Annotation, AnnotationTarget, Build};
    ///
    /// let build = Build::new("project").annotation(Annotation {
    ///     target: AnnotationTarget::Manifest,
    ///     platform: None,
    ///     key: "org.opencontainers.image.source".into(),
    ///     value: "https://github.com/me/project".into(),
    /// });
    /// ```
    pub fn annotation(mut self, annotation: Annotation) -> Self {
        self.annotations.push(annotation);
        self
    }

    /// The notes on one kind of document, of one platform.
    pub(crate) fn annotations_of(
        &self,
        target: AnnotationTarget,
        platform: Option<&Platform>,
    ) -> Vec<(String, String)> {
        let wanted = self.annotations.iter().filter(|annotation| {
            annotation.target == target
                && (annotation.platform.is_none() || annotation.platform.as_ref() == platform)
        });
        wanted.map(|annotation| (annotation.key.clone(), annotation.value.clone())).collect()
    }

    /// Whether to ask registries for newer base images than those in the store.
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").pull(true);
    /// ```
    pub fn pull(mut self, pull: bool) -> Self {
        self.pull = pull;
        self
    }

    /// Whether to push the image to the registries of its names.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .tag("registry.example/app:1.0")
    ///     .push(true)
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push(mut self, push: bool) -> Self {
        self.push = push;
        self
    }

    /// Whether a push leaves out tags: the registry has the image under its digest alone, for an
    /// index that somebody makes of several (BuildKit's `push-by-digest`). A name with a tag is
    /// refused then.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event, Platform};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let built = Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .tag("registry.example/app")
    ///     .push(true)
    ///     .push_by_digest(true)
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let pull = |name: &str| {
    ///     engine.pull(&name.parse()?, &Platform::host(), &|_: &Event| {}, &Cancel::new())?;
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// };
    /// assert!(pull("registry.example/app").is_err());
    /// pull(&format!("registry.example/app@{}", built.descriptor.digest()))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push_by_digest(mut self, push_by_digest: bool) -> Self {
        self.push_by_digest = push_by_digest;
        self
    }

    /// Whether to run every step, whatever is in the cache.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
    /// build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let again = build.no_cache(true).run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!((again.ran, again.cached), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn no_cache(mut self, no_cache: bool) -> Self {
        self.no_cache = no_cache;
        self
    }

    /// A stage whose steps all run, whatever is in the cache; may be given several times.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let text = "FROM scratch AS tools\nRUN make\nFROM tools\nRUN use them\n";
    /// let build = Build::new(BuildContext::Empty).dockerfile_text(text);
    /// build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let again = build.no_cache_filter("tools").run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// // The same files came out, so the step after it is still known.
    /// assert_eq!((again.ran, again.cached), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn no_cache_filter(mut self, stage: impl Into<String>) -> Self {
        self.no_cache_filter.push(stage.into());
        self
    }

    /// A line of the Dockerfile whose step runs, whatever is in the cache; may be given several
    /// times.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
    /// build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(build.no_cache_step(2).run(&engine, &|_: &Event| {}, &Cancel::new())?.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn no_cache_step(mut self, line: usize) -> Self {
        self.no_cache_steps.push(line);
        self
    }

    /// How old the results of commands may be that are taken from the cache. Also the commands of
    /// stages that are only copied from.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use std::time::Duration;
    ///
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
    /// build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let daily = build.clone().cache_max_age(Duration::from_secs(24 * 60 * 60));
    /// assert_eq!(daily.run(&engine, &|_: &Event| {}, &Cancel::new())?.cached, 1);
    /// let always = build.cache_max_age(Duration::ZERO);
    /// assert_eq!(always.run(&engine, &|_: &Event| {}, &Cancel::new())?.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cache_max_age(mut self, age: Duration) -> Self {
        self.cache_max_age = Some(age);
        self
    }

    /// Whether the build fails when a step is not in the cache, instead of running it.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::{Error, StepError};
    ///
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
    /// let refused = build.require_cache(true).run(&engine, &|_: &Event| {}, &Cancel::new());
    /// let Err(Error::Step { source, .. }) = refused else { panic!() };
    /// assert!(matches!(*source, StepError::NotCached { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn require_cache(mut self, require: bool) -> Self {
        self.require_cache = require;
        self
    }

    /// Whether the files of contexts are read again even if nothing shows that they changed.
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").no_stat_cache(true);
    /// ```
    pub fn no_stat_cache(mut self, no_stat_cache: bool) -> Self {
        self.no_stat_cache = no_stat_cache;
        self
    }

    /// A cache to take steps from that are not in the store; may be given several times. One that
    /// cannot be had is told of and does not fail the build.
    ///
    /// ```
    /// use dfbuild::{Build, CacheSource};
    ///
    /// let cache = CacheSource::Registry("registry.example/app:cache".parse()?);
    /// let build = Build::new("project").cache_from(cache);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cache_from(mut self, source: CacheSource) -> Self {
        self.cache_from.push(source);
        self
    }

    /// A cache to put the steps of the build into; may be given several times. One that cannot be
    /// written is told of and does not fail the build.
    ///
    /// ```
    /// use dfbuild::{Build, CacheExport, CacheMode, CacheTarget};
    ///
    /// let cache = CacheTarget::Registry("registry.example/app:cache".parse()?);
    /// let mut export = CacheExport::new(cache);
    /// export.mode = CacheMode::Max;
    /// let build = Build::new("project").cache_to(export);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cache_to(mut self, export: CacheExport) -> Self {
        self.cache_to.push(export);
        self
    }

    /// Whether files of contexts get the modes that git keeps: folders 0755, files 0755 if their
    /// owner may run them, else 0644. So two checkouts under different umasks are the same.
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").normalise_modes(true);
    /// ```
    pub fn normalise_modes(mut self, normalise: bool) -> Self {
        self.normalise_modes = normalise;
        self
    }

    /// Where the image goes, beside the store; may be given several times.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::{Output, OutputKind};
    ///
    /// let folder = tempfile::tempdir()?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    ///     .output(Output::new(OutputKind::Directory(folder.path().into())))
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(std::fs::read_to_string(folder.path().join("greeting"))?, "hello\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn output(mut self, output: Output) -> Self {
        self.outputs.push(output);
        self
    }

    /// A secret for the commands that mount it.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::{Secret, SecretSource};
    ///
    /// let token = SecretSource::Value(b"tell-nobody-of-this".to_vec());
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nRUN --mount=type=secret,id=token make\n")
    ///     .secret(Secret { id: "token".into(), source: token })
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// What happens if a secret is found in a file of a layer, instead of a notice.
    ///
    /// ```
    /// use dfbuild::{Build, SecretLeak};
    ///
    /// let build = Build::new("project").secret_leak(SecretLeak::Error);
    /// ```
    pub fn secret_leak(mut self, leak: SecretLeak) -> Self {
        self.secret_leak = leak;
        self
    }

    /// An ssh agent for the commands that mount it.
    ///
    /// ```
    /// use dfbuild::{Build, SshAgent};
    ///
    /// let agent = SshAgent { id: "default".into(), socket: "/run/user/1000/ssh-agent".into() };
    /// let build = Build::new("project").ssh(agent);
    /// ```
    pub fn ssh(mut self, agent: SshAgent) -> Self {
        self.ssh.push(agent);
        self
    }

    /// Whether commands have no network unless they ask for the host's.
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").network_none(true);
    /// ```
    pub fn network_none(mut self, none: bool) -> Self {
        self.network_none = none;
        self
    }

    /// Whether `RUN --security=insecure` is granted (`--allow security.insecure`).
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").allow_insecure(true);
    /// ```
    pub fn allow_insecure(mut self, allow: bool) -> Self {
        self.allow_insecure = allow;
        self
    }

    /// A line for `/etc/hosts` of every command: a name and an address.
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").add_host("packages.example", "192.0.2.7");
    /// ```
    pub fn add_host(mut self, name: impl Into<String>, address: impl Into<String>) -> Self {
        self.add_hosts.push((name.into(), address.into()));
        self
    }

    /// The size of `/dev/shm` in bytes, instead of 64 MiB.
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").shm_size(1 << 30);
    /// ```
    pub fn shm_size(mut self, bytes: u64) -> Self {
        self.shm_size = Some(bytes);
        self
    }

    /// A resource limit of every command.
    ///
    /// ```
    /// use dfbuild::{Build, Ulimit};
    ///
    /// let files = Ulimit { name: "nofile".into(), soft: 1024, hard: 4096 };
    /// let build = Build::new("project").ulimit(files);
    /// ```
    pub fn ulimit(mut self, ulimit: Ulimit) -> Self {
        self.ulimits.push(ulimit);
        self
    }

    /// What commands see as `/etc/resolv.conf`, instead of this machine's.
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").resolv_conf("nameserver 192.0.2.53\n");
    /// ```
    pub fn resolv_conf(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.resolv_conf = Some(content.into());
        self
    }

    /// How many steps may run at the same time.
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").jobs(2);
    /// ```
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// How long the build may take before it is ended.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").timeout(Duration::from_secs(600));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether layers are made with what is known of those before them. The bytes are the same either way.
    ///
    /// ```
    /// use dfbuild::Build;
    ///
    /// let build = Build::new("project").fast_paths(false);
    /// ```
    pub fn fast_paths(mut self, fast: bool) -> Self {
        self.fast_paths = fast;
        self
    }
}

/// A finished build.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let built = Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nRUN make\n")
///     .tag("app")
///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// println!("{} in {:?}: {} bytes", built.tags[0], built.duration, built.size);
/// assert_eq!(built.image_id, engine.inspect("app", None)?.id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Built {
    /// The digest of the image configuration, which `docker images` shows as image id; for several
    /// platforms the digest of the index.
    pub image_id: Digest,
    /// The manifest, or the index for several platforms.
    pub descriptor: Descriptor,
    /// What it was built for.
    pub platforms: Vec<Platform>,
    /// The names that it was given.
    pub tags: Vec<Reference>,
    /// The sum of its uncompressed layers, in bytes.
    pub size: u64,
    /// How many layers it has.
    pub layers: usize,
    /// How many steps came from the cache.
    pub cached: usize,
    /// How many steps ran.
    pub ran: usize,
    /// How long the build took.
    pub duration: Duration,
}
