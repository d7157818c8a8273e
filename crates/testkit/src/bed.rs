use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use tempfile::TempDir;

use crate::{Image, Outcome, Skipped, Who, base, who};

/// When the base image was made.
const BASE_TIME: u64 = 1_500_000_000;

/// What one test builds in, as one user: a folder with a context and a store, removed at the end.
#[derive(Debug)]
pub struct Bed {
    folder: TempDir,
    who: Who,
    binary: PathBuf,
    /// Whether commands run in copies and not over overlays.
    copies: bool,
}

impl Bed {
    /// A bed for a user, with the `dfbuild` command at `binary`.
    pub fn new(binary: &Path, who: Who) -> Result<Self, Skipped> {
        let folder = TempDir::with_prefix("dfbuild-e2e-").expect("there is a temporary folder");
        who::open_to_all(folder.path());
        for name in ["context", "home", "out"] {
            fs::create_dir(folder.path().join(name)).expect("the folder is new");
        }
        who.own(folder.path())?;
        // It stays the file of whoever built it, so only after the rest was given away.
        let binary = reachable(binary, who, folder.path());
        Ok(Self { folder, who, binary, copies: false })
    }

    /// The same bed, where commands run in copies of their root file systems, as if there were no
    /// overlays.
    pub fn with_copies(mut self) -> Self {
        self.copies = true;
        self
    }

    /// Another bed with the same command for the same user.
    ///
    /// # Panics
    /// Never: the user was had before.
    pub fn another(&self) -> Self {
        let bed = Self::new(&self.binary, self.who).expect("this user was had before");
        if self.copies { bed.with_copies() } else { bed }
    }

    /// As whom the command runs.
    pub fn who(&self) -> Who {
        self.who
    }

    /// Whether the command has a single id to give to files and processes.
    pub fn has_one_id(&self) -> bool {
        match self.who {
            Who::Caller => !self.who.is_root() && !who::caller_has_ranges(),
            Who::Mapped => false,
            Who::SingleId => true,
        }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in its folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The build context.
    pub fn context(&self) -> PathBuf {
        self.join("context")
    }

    /// The store of the builds.
    pub fn store(&self) -> PathBuf {
        self.join("store")
    }

    /// Writes a file of the context, with the folders that it is in.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.context().join(name);
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).expect("the context can be written");
        fs::write(&path, content).expect("the context can be written");
        self.own(&self.context());
    }

    /// Sets the time of every file and folder of the context, so that two contexts with the same files
    /// are the same.
    ///
    /// # Panics
    /// When it cannot be done.
    pub fn set_times(&self, seconds: u64) {
        set_times(&self.context(), seconds);
    }

    /// Sets the time of a file of the context.
    ///
    /// # Panics
    /// When it cannot be done.
    pub fn touch(&self, name: &str, seconds: u64) {
        touch(&self.context().join(name), seconds);
    }

    /// Gives a folder to the user.
    ///
    /// # Panics
    /// When it cannot be given.
    pub fn own(&self, path: &Path) {
        self.who.own(path).expect("this user was had before");
    }

    /// Where the command is.
    pub fn program(&self) -> &Path {
        &self.binary
    }

    /// The command with its own store and an empty environment.
    ///
    /// # Panics
    /// Never: the user was had before.
    pub fn command(&self) -> Command {
        self.command_of(&self.binary)
    }

    /// Another program in the same environment.
    ///
    /// # Panics
    /// Never: the user was had before.
    pub fn command_of(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env_clear();
        // As bare as a service manager's, but with the tests' temporary folder.
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.join("home")).env("DFBUILD_ROOT", self.store());
        if self.copies {
            command.env("DFBUILD_SNAPSHOTTER", "copy");
        }
        command.stdin(Stdio::null());
        self.who.apply(&mut command).expect("this user was had before");
        command
    }

    /// Runs the command.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Outcome {
        self.command().args(args).output().expect("the command can be started").into()
    }

    /// Builds the context with plain progress.
    ///
    /// # Panics
    /// When the command cannot be started.
    pub fn build(&self, args: &[&str]) -> Outcome {
        self.build_command(args).output().expect("the command can be started").into()
    }

    /// The command that builds the context with plain progress.
    ///
    /// # Panics
    /// Never: the user was had before.
    pub fn build_command(&self, args: &[&str]) -> Command {
        let mut command = self.command();
        command.args(["build", "--progress=plain"]).args(args).arg(self.context());
        command
    }

    /// Puts an image `base` into the store that can run shell commands, made from nothing but what
    /// every machine has. It is the same in every store of a machine, and has the users `root` and `ann`; `ann` is in `audio` and `video`.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn base(&self) {
        let folder = self.join("base");
        if !folder.exists() {
            base::fill(&folder.join("root"));
        }
        fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY root /\nENV PATH=/usr/bin:/bin\n")
            .expect("the folder is new");
        set_times(&folder, BASE_TIME);
        self.own(&folder);
        let mut command = self.command();
        command.env("SOURCE_DATE_EPOCH", BASE_TIME.to_string());
        command.args(["build", "--progress=plain", "-t", "base"]).arg(&folder);
        let outcome: Outcome = command.output().expect("the command can be started").into();
        let _ = outcome.succeeds();
    }

    /// The file `name` of what a build exported to `out/tree`.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn exported(&self, name: &str) -> String {
        let path = self.join("out/tree").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Removes a folder in it that nobody looks at any more: some hold a whole Debian.
    ///
    /// # Panics
    /// When the folder is not in this bed.
    pub fn drop_folder(&self, folder: &Path) {
        assert!(folder.starts_with(self.path()), "{} is not of this bed", folder.display());
        remove(folder);
    }

    /// The image called `name` in the store.
    pub fn image(&self, name: &str) -> Image {
        let name = if name.contains(':') { name.to_owned() } else { format!("{name}:latest") };
        Image::open(&self.store(), &name)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        remove(self.path());
    }
}

/// Removes a folder that builds wrote. Root can remove everything. An ordinary user has to open folders
/// first that an image closes, and what belongs to one of its subordinate ids only such a one can
/// remove.
fn remove(root: &Path) {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let _ = fs::set_permissions(&folder, Permissions::from_mode(0o700));
        let entries = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
        let inside = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(inside.map(|entry| entry.path()));
    }
    if fs::remove_dir_all(root).is_err() {
        let maps = ["--map-root-user", "--map-users=auto", "--map-groups=auto"];
        let mut command = Command::new("unshare");
        let _ = command.args(maps).args(["rm", "-rf"]).arg(root).output();
    }
}

fn set_times(root: &Path, seconds: u64) {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is the test's own") {
            let entry = entry.expect("the folder is the test's own");
            if entry.file_type().expect("the type is known").is_dir() {
                folders.push(entry.path());
            } else {
                touch(&entry.path(), seconds);
            }
        }
        touch(&folder, seconds);
    }
}

/// Sets the time of a file, or of a link itself.
fn touch(path: &Path, seconds: u64) {
    let time = Timespec { tv_sec: seconds.try_into().expect("it is a time of today"), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .unwrap_or_else(|error| panic!("set the time of {}: {error}", path.display()));
}

/// The command where the user can run it: the target folder may be in somebody's closed home.
fn reachable(binary: &Path, who: Who, folder: &Path) -> PathBuf {
    if who.is_caller() {
        return binary.to_owned();
    }
    let copy = folder.join("dfbuild");
    // A hundred megabytes for each test are worth a link.
    if fs::hard_link(binary, &copy).is_ok() {
        return copy;
    }
    // Not by this process: a child that another test starts meanwhile would hold the file open for
    // writing, and what is written to cannot be executed.
    let copied = Command::new("cp").arg(binary).arg(&copy).status();
    assert!(copied.is_ok_and(|status| status.success()), "the command was built");
    copy
}
