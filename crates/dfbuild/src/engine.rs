use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use dfbuild_image::Digest;
use dfbuild_layer::Limits;
use dfbuild_remote::git::Git;
use dfbuild_remote::{Client, ClientOptions, Registry};
use dfbuild_sandbox::{IdMap, IdMode};
use dfbuild_store::Store;

use crate::cancel::Cancel;
use crate::ending::Ending;
use crate::error::Error;
use crate::images::layer_cache::{Form, LayerCache};
use crate::network::Network;
use crate::options::{SnapshotterChoice, StoreLimit};
use crate::registry::Checked;
use crate::sandbox::{Namespaces, Sandbox};
use crate::sharing::Lost;
use crate::snapshots::support::Support;
use crate::teller::Teller;
use crate::worker::Worker;

/// Where builds happen: a store, and what this process may do. Usable for many builds at once,
/// from many threads.
///
/// ```
/// use dfbuild::{Engine, StoreLimit};
///
/// # let folder = tempfile::tempdir()?;
/// # let root = folder.path();
/// let engine = Engine::open(root)?.with_store_limit(StoreLimit::Bytes(20_000_000_000));
/// assert!(engine.images()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine {
    shared: Arc<Shared>,
    /// How registries and web servers are reached; not at all unless it is given.
    network: Option<Network>,
    /// The program that fetches git repositories.
    git: Option<Git>,
    /// Why commands cannot run here, if that is known.
    refusal: Option<Arc<dfbuild_sandbox::Error>>,
    snapshotter: SnapshotterChoice,
    /// What runs commands, if not namespaces of this process.
    sandbox: Option<Arc<dyn Sandbox>>,
    /// Where images are pulled from and pushed to, if not by the network.
    registry: Option<Arc<Checked>>,
    support: Support,
    /// What ends the build that this is the engine of.
    ending: Ending,
    /// What archives may unpack to.
    limits: Limits,
    /// What could not be had from elsewhere in the build that this is the engine of.
    lost: Lost,
    teller: Teller,
    store_limit: StoreLimit,
    /// The process that builds, if not this one.
    worker: Option<Worker>,
    /// Where base images are looked for, if the store itself is only for one build.
    behind: Option<Arc<Engine>>,
}

/// What all builds of an engine have in common.
struct Shared {
    store: Store,
    id_map: IdMap,
    layers: LayerCache,
}

impl Engine {
    /// Opens the store at `root`, and makes it if it is not there.
    ///
    /// ```
    /// use dfbuild::Engine;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let root = folder.path();
    /// let engine = Engine::open(root)?;
    /// assert!(engine.images()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::with_store(Store::open(root)?)
    }

    /// With a store that somebody opened: tests hear of what is written to it.
    #[doc(hidden)]
    pub fn with_store(store: Store) -> Result<Self, Error> {
        let id_map = IdMap::current()
            .map_err(|error| Error::Sandbox { reason: error.to_string(), hint: None })?;
        let shared = Shared { store, id_map, layers: LayerCache::default() };
        Ok(Self {
            shared: Arc::new(shared),
            network: None,
            git: None,
            refusal: None,
            snapshotter: SnapshotterChoice::Auto,
            sandbox: None,
            registry: None,
            support: Support::default(),
            ending: Ending::default(),
            limits: Limits::default(),
            lost: Lost::default(),
            teller: Teller::default(),
            store_limit: StoreLimit::default(),
            worker: None,
            behind: None,
        })
    }

    /// The same engine for a process that could not enter a user namespace
    /// ([`crate::rootless::enter`]): it refuses a build with `RUN` before it begins, for `reason`.
    /// Everything else works.
    ///
    /// ```
    /// use dfbuild::{Engine, rootless};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let root = folder.path();
    /// let refused = rootless::enter().err();
    /// let mut engine = Engine::open(root)?;
    /// if let Some(reason) = refused {
    ///     engine = engine.refusing_commands(reason);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn refusing_commands(self, reason: dfbuild_sandbox::Error) -> Self {
        self.refusing(Arc::new(reason))
    }

    pub(crate) fn refusing(mut self, reason: Arc<dfbuild_sandbox::Error>) -> Self {
        self.refusal = Some(reason);
        self
    }

    /// The same engine whose builds happen in a process of their own: for programs with threads.
    ///
    /// ```no_run
    /// use dfbuild::Engine;
    /// use dfbuild::worker::Worker;
    ///
    /// let engine = Engine::open("/var/lib/server/images")?.with_worker(Worker::this_program());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_worker(mut self, worker: Worker) -> Self {
        self.worker = Some(worker);
        self
    }

    pub(crate) fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    /// The same engine with another way to give commands their root file systems. To be set only
    /// where the default does not do.
    ///
    /// ```
    /// use dfbuild::{Engine, SnapshotterChoice};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let root = folder.path();
    /// let engine = Engine::open(root)?.with_snapshotter(SnapshotterChoice::Copy);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_snapshotter(mut self, snapshotter: SnapshotterChoice) -> Self {
        self.snapshotter = snapshotter;
        self
    }

    /// The same engine with another way to run commands.
    ///
    /// ```
    /// use dfbuild::testing::FakeSandbox;
    /// use dfbuild::{Build, BuildContext, Cancel, Engine, Event};
    ///
    /// let store = tempfile::tempdir()?;
    /// let sandbox = FakeSandbox::new(|command| {
    ///     command.print("not really\n");
    ///     0
    /// });
    /// let engine = Engine::open(store.path())?.with_sandbox(sandbox);
    /// let built = Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nRUN make install\n")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(built.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_sandbox(mut self, sandbox: impl Sandbox + 'static) -> Self {
        self.sandbox = Some(Arc::new(sandbox));
        self
    }

    pub(crate) fn sandbox(&self) -> &dyn Sandbox {
        self.sandbox.as_deref().unwrap_or(&Namespaces)
    }

    /// Whether it works with what only this process has.
    pub(crate) fn has_parts_of_its_own(&self) -> bool {
        self.sandbox.is_some() || self.registry.is_some()
    }

    pub(crate) fn has_sandbox_of_its_own(&self) -> bool {
        self.sandbox.is_some()
    }

    /// The same engine with another place for images than registries of the network. What it gives
    /// is digested here; it need not be trusted.
    ///
    /// ```
    /// use dfbuild::testing::MemoryRegistry;
    /// use dfbuild::{Build, BuildContext, Cancel, Engine, Event};
    ///
    /// let store = tempfile::tempdir()?;
    /// let registry = MemoryRegistry::new();
    /// let engine = Engine::open(store.path())?.with_registry(registry.clone());
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .tag("registry.example/app:1")
    ///     .push(true)
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(registry.names(), ["registry.example/app:1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_registry(mut self, registry: impl Registry + 'static) -> Self {
        self.registry = Some(Arc::new(Checked::new(registry, self.ending.clone())));
        self
    }

    /// The way to registries, if there is one.
    pub(crate) fn registry(&self) -> Result<Option<&dyn Registry>, dfbuild_remote::Error> {
        match &self.registry {
            Some(registry) => Ok(Some(&**registry)),
            None => Ok(self.client()?.map(|client| client as &dyn Registry)),
        }
    }

    /// The same engine with a way to registries and web servers. Without one nothing is fetched.
    ///
    /// ```
    /// use dfbuild::Engine;
    /// use dfbuild::remote::ClientOptions;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let root = folder.path();
    /// let options = ClientOptions {
    ///     mirrors: [("docker.io".to_owned(), vec!["https://mirror.example".to_owned()])].into(),
    ///     ..ClientOptions::default()
    /// };
    /// let engine = Engine::open(root)?.with_network(options);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_network(mut self, options: ClientOptions) -> Self {
        self.network = Some(Network::new(options, self.ending.clone()));
        self
    }

    /// The same engine for archives that are trusted, whatever they unpack to.
    ///
    /// ```
    /// use dfbuild::Engine;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let root = folder.path();
    /// let engine = Engine::open(root)?.trusting_archives();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trusting_archives(mut self) -> Self {
        self.limits = Limits::NONE;
        self
    }

    /// The same engine with another limit for its store.
    ///
    /// ```
    /// use dfbuild::{Engine, StoreLimit};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let root = folder.path();
    /// let engine = Engine::open(root)?.with_store_limit(StoreLimit::Bytes(20_000_000_000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_store_limit(mut self, limit: StoreLimit) -> Self {
        self.store_limit = limit;
        self
    }

    pub(crate) fn store_limit(&self) -> StoreLimit {
        self.store_limit
    }

    /// What archives may unpack to.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The same engine with a program for git repositories, as sources of `ADD` and as contexts.
    ///
    /// ```
    /// use dfbuild::Engine;
    /// use dfbuild::remote::git::Git;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let root = folder.path();
    /// let environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
    /// let git = Git { program: "/usr/bin/git".into(), environment, allow_local: false };
    /// let engine = Engine::open(root)?.with_git(git);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_git(mut self, git: Git) -> Self {
        self.git = Some(git);
        self
    }

    /// The same engine, whose work with images `cancel` ends: what [`Engine::save`],
    /// [`Engine::load`], [`Engine::copy_out`] and their like have written by then is removed, and
    /// they fail with [`Error::Cancelled`]. Builds and transfers are given one of their own.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext};
    /// use dfbuild::{Cancel, CopyFrom, Engine, Error, Event};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let engine = Engine::open(folder.path())?;
    /// # let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nLABEL a=b\n");
    /// # build.tag("app").run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let cancel = Cancel::new();
    /// let of_a_request = engine.cancelled_by(&cancel);
    /// cancel.cancel(); // From anywhere.
    /// let saved = of_a_request.save(&["app"], None, &folder.path().join("app.tar"), &|_: &Event| {});
    /// assert!(matches!(saved, Err(Error::Cancelled)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancelled_by(&self, cancel: &Cancel) -> Self {
        self.for_build(&Ending::new(cancel, None))
    }

    /// This engine for one attempt of a build: whatever it does for it fails once that is to end,
    /// and it does not ask for what was `lost` in another attempt.
    pub(crate) fn for_attempt(&self, ending: &Ending, lost: &Lost) -> Self {
        Self { lost: lost.clone(), ..self.for_build(ending) }
    }

    /// This engine for one build: whatever it does for it fails once that is to end.
    pub(crate) fn for_build(&self, ending: &Ending) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            network: self.network.as_ref().map(|network| network.for_build(ending)),
            git: self.git.clone(),
            refusal: self.refusal.clone(),
            snapshotter: self.snapshotter,
            sandbox: self.sandbox.clone(),
            registry: self.registry.as_ref().map(|registry| Arc::new(registry.for_build(ending))),
            // The kernel is asked once for each build.
            support: Support::default(),
            ending: ending.clone(),
            limits: self.limits.clone(),
            lost: Lost::default(),
            teller: Teller::default(),
            store_limit: self.store_limit,
            worker: self.worker.clone(),
            behind: self.behind.clone(),
        }
    }

    /// An engine like this one with an empty store of its own at `root`. Base images come from the
    /// store of this one.
    pub(crate) fn apart(&self, root: PathBuf, ending: &Ending) -> Result<Self, Error> {
        let shared = Shared {
            store: Store::open(root)?,
            id_map: self.shared.id_map.clone(),
            layers: LayerCache::default(),
        };
        let behind = Some(Arc::new(self.for_build(ending)));
        Ok(Self { shared: Arc::new(shared), behind, ..self.for_build(ending) })
    }

    /// The engine whose store has the base images, if it is not this one.
    pub(crate) fn behind(&self) -> Option<&Self> {
        self.behind.as_deref()
    }

    pub(crate) fn lost(&self) -> &Lost {
        &self.lost
    }

    pub(crate) fn teller(&self) -> &Teller {
        &self.teller
    }

    pub(crate) fn git(&self) -> Option<&Git> {
        self.git.as_ref()
    }

    /// Whether anything may be fetched.
    pub(crate) fn can_fetch(&self) -> bool {
        self.registry.is_some()
            || self.network.as_ref().is_some_and(|network| !network.is_offline())
    }

    /// Whether somebody asked for nothing to be fetched.
    pub(crate) fn is_offline(&self) -> bool {
        self.registry.is_none() && self.network.as_ref().is_some_and(Network::is_offline)
    }

    pub(crate) fn network_options(&self) -> Option<&ClientOptions> {
        self.network.as_ref().map(Network::options)
    }

    /// The way to web servers and git repositories, if there is one.
    pub(crate) fn client(&self) -> Result<Option<&Client>, dfbuild_remote::Error> {
        self.network.as_ref().map(Network::client).transpose()
    }

    /// The way to registries for what is very likely not there, unless they are somebody's own.
    pub(crate) fn hasty_client(&self) -> Option<Client> {
        let client = self.client().ok().flatten().filter(|_| self.registry.is_none());
        client.map(Client::hasty)
    }

    pub(crate) fn refusal(&self) -> Option<&dfbuild_sandbox::Error> {
        self.refusal.as_deref()
    }

    pub(crate) fn snapshotter(&self) -> SnapshotterChoice {
        self.snapshotter
    }

    pub(crate) fn known_support(&self) -> &Support {
        &self.support
    }

    pub(crate) fn ending(&self) -> &Ending {
        &self.ending
    }

    pub(crate) fn layers(&self) -> &LayerCache {
        &self.shared.layers
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Which ids can be given to files here.
    pub(crate) fn id_mode(&self) -> IdMode {
        // Who is not root gives files to nobody, as with a single id.
        if rustix::process::geteuid().is_root() {
            self.shared.id_map.mode()
        } else {
            IdMode::Single
        }
    }

    /// What commands cannot do where this process has a single user id, for people.
    ///
    /// ```
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// if let Some(text) = engine.limits_of_one_id() {
    ///     println!("{text}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limits_of_one_id(&self) -> Option<&'static str> {
        let text = "only one user id can be mapped here: commands run as root, and changes of owner \
            and devices made inside them are pretended; install uidmap and give this user a range in \
            /etc/subuid and /etc/subgid to have owners";
        (self.id_mode() == IdMode::Single).then_some(text)
    }

    /// How many user ids this process can give to files.
    pub(crate) fn mapped_ids(&self) -> u64 {
        self.shared.id_map.uids.iter().map(|range| u64::from(range.count)).sum()
    }

    /// The name of a kind of snapshots of this process: they depend on the id map, and through it
    /// on the namespace of the overlay's attributes.
    pub(crate) fn flavour(&self, form: Form) -> String {
        let map = match self.id_mode() {
            IdMode::Single if self.shared.id_map.mode() != IdMode::Single => "own".to_owned(),
            _ => self.shared.id_map.fingerprint(),
        };
        match form {
            Form::Overlay => map,
            Form::Plain => format!("{map}-plain"),
        }
    }

    /// The length of a layer's archive in bytes; 0 if it cannot be had.
    pub(crate) fn tar_size(&self, diff_id: &Digest) -> u64 {
        let known = || self.store().layer_size(diff_id);
        // A layer that nobody has looked into yet is read once; that notes its length.
        known().or_else(|| self.index(diff_id).ok().and_then(|_| known())).unwrap_or(0)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("root", &self.store().root()).finish_non_exhaustive()
    }
}
