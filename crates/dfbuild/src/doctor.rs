//! What this machine gives builds, and what to change where it gives too little.
//!
//! ```
//! use dfbuild::doctor::Health;
//!
//! # let store = tempfile::tempdir()?;
//! let engine = dfbuild::Engine::open(store.path())?;
//! let probes = engine.doctor();
//! for probe in probes.iter().filter(|probe| probe.health != Health::Good) {
//!     println!("{}: {}", probe.name, probe.found);
//!     if let Some(fix) = &probe.fix {
//!         println!("  {fix}");
//!     }
//! }
//! assert_eq!(probes[0].name, "store");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs;
use std::path::Path;

use dfbuild_sandbox::{IdMode, emulation};

use crate::causes::with_causes;
use crate::engine::Engine;
use crate::error::Error;

/// One thing that builds depend on.
///
/// ```
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::Engine::open(store.path())?;
/// let probes = engine.doctor();
/// let store_probe = probes.iter().find(|probe| probe.name == "store").unwrap();
/// assert!(store_probe.found.starts_with(store.path().to_str().unwrap()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// What: `store`, `overlay`, …
    pub name: &'static str,
    /// How it stands.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What that means for builds, where it is not all good.
    pub consequence: Option<String>,
    /// What would change it, as exactly as can be told.
    pub fix: Option<String>,
}

/// How something stands.
///
/// ```
/// use dfbuild::doctor::Health;
///
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::Engine::open(store.path())?;
/// let worst = engine.doctor().iter().map(|probe| probe.health).max();
/// if worst == Some(Health::Bad) {
///     println!("most builds will not work here");
/// }
/// assert!(Health::Good < Health::Limited && Health::Limited < Health::Bad);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Health {
    /// As good as it gets.
    Good,
    /// Builds work, and something does not.
    Limited,
    /// What most builds need does not work.
    Bad,
}

/// Less than that is soon gone.
const LITTLE_SPACE: u64 = 2 << 30;

impl Probe {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        let found = found.into();
        Self { name, health: Health::Good, found, consequence: None, fix: None }
    }

    fn means(self, health: Health, consequence: impl Into<String>) -> Self {
        Self { health, consequence: Some(consequence.into()), ..self }
    }

    fn fix(self, fix: Option<String>) -> Self {
        Self { fix, ..self }
    }

    /// The store cannot even be opened.
    ///
    /// ```
    /// use dfbuild::Engine;
    /// use dfbuild::doctor::{Health, Probe};
    ///
    /// let probes = match Engine::open("/dev/null/store") {
    ///     Ok(engine) => engine.doctor(),
    ///     Err(error) => vec![Probe::of_store(&error)],
    /// };
    /// assert_eq!(probes[0].health, Health::Bad);
    /// ```
    pub fn of_store(error: &Error) -> Self {
        Self::good("store", with_causes(error))
            .means(Health::Bad, "nothing can be built")
            .fix(Some("keep it where you may write: --root DIR or DFBUILD_ROOT".to_owned()))
    }
}

impl Engine {
    /// Tries what builds need: nothing is changed, and each probe takes a few milliseconds.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// for probe in engine.doctor() {
    ///     println!("{probe:?}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn doctor(&self) -> Vec<Probe> {
        let mut probes = vec![self.probe_store(), probe_kernel(), self.probe_namespaces()];
        if self.refusal().is_none() {
            probes.push(self.probe_ids());
            probes.extend(self.probe_sandbox());
        }
        probes.extend([probe_seccomp(), self.probe_apparmor(), probe_cgroups()]);
        probes.extend([self.probe_git(), probe_emulation()]);
        probes
    }

    fn probe_store(&self) -> Probe {
        let root = self.store().root();
        let Ok(stat) = rustix::fs::statvfs(root) else {
            return Probe::good("store", root.display().to_string());
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let kind = rustix::fs::statfs(root).map_or("?", |stat| file_system(stat.f_type));
        let found = format!("{}, {kind}, {} GB free", root.display(), free / 1_000_000_000);
        let probe = Probe::good("store", found);
        if stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            return probe
                .means(Health::Limited, "only what is cached can be built")
                .fix(Some("keep the store elsewhere: --root DIR or DFBUILD_ROOT".to_owned()));
        }
        if free < LITTLE_SPACE {
            return probe.means(Health::Limited, "builds may run out of space").fix(Some(
                "dfbuild prune, or a store on a larger disk: --root DIR or DFBUILD_ROOT".to_owned(),
            ));
        }
        if matches!(kind, "nfs" | "fuse") {
            return probe
                .means(Health::Limited, "locks between builds and owners of files may not work")
                .fix(Some("keep the store on a disk of this machine: --root DIR".to_owned()));
        }
        probe
    }

    fn probe_namespaces(&self) -> Probe {
        match self.refusal() {
            None if rustix::process::geteuid().is_root() && self.id_mode() == IdMode::Root => {
                Probe::good("user namespaces", "not needed: this is root")
            }
            None => Probe::good("user namespaces", "this user can make them"),
            Some(error) => Probe::good("user namespaces", error.to_string())
                .means(Health::Bad, "RUN is refused; COPY and configuration build")
                .fix(error.hint().map(ToString::to_string)),
        }
    }

    fn probe_ids(&self) -> Probe {
        match self.id_mode() {
            IdMode::Root => Probe::good("ids", "all"),
            IdMode::Mapped => Probe::good("ids", format!("{} are mapped", self.mapped_ids())),
            IdMode::Single => Probe::good("ids", "one is mapped")
                .means(
                    Health::Limited,
                    "commands run as root whatever USER says; changes of owner and devices are pretended",
                )
                .fix(Some(
                    "install uidmap (newuidmap), and as root: usermod --add-subuids 100000-165535 \
                     --add-subgids 100000-165535 USER"
                        .to_owned(),
                )),
        }
    }

    /// What running a command takes.
    fn probe_sandbox(&self) -> Vec<Probe> {
        let support = match self.support() {
            Ok(Ok(support)) => support,
            Ok(Err(error)) => {
                return vec![
                    Probe::good("sandbox", error.to_string())
                        .means(Health::Bad, "RUN is refused; COPY and configuration build")
                        .fix(error.hint().map(ToString::to_string)),
                ];
            }
            Err(error) => return vec![Probe::of_store(&error.into())],
        };
        let overlay = match &support.overlay {
            Ok(_) => Probe::good("overlay", "works on the store's file system"),
            Err(error) => Probe::good("overlay", error.to_string())
                .means(Health::Limited, "each RUN works on a copy of its root file system: slower")
                .fix(Some(
                    "keep the store on ext4, XFS, btrfs or tmpfs (--root DIR), on Linux 5.13 or later"
                        .to_owned(),
                )),
        };
        let network = match self.has_own_network() {
            Ok(true) => Probe::good("network", "can be taken away from commands"),
            Ok(false) => Probe::good("network", "network namespaces are refused")
                .means(Health::Limited, "RUN --network=none does not work"),
            Err(error) => Probe::of_store(&error.into()),
        };
        vec![Probe::good("sandbox", "commands run"), overlay, network]
    }

    fn probe_apparmor(&self) -> Probe {
        let restricted = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
        if restricted.as_deref() != Some("1") || self.id_mode() == IdMode::Root {
            return Probe::good("AppArmor", "does not restrict user namespaces");
        }
        let probe = Probe::good("AppArmor", "restricts user namespaces of ordinary users");
        if self.refusal().is_none() {
            return probe;
        }
        probe.means(Health::Bad, "RUN is refused").fix(Some(
            "a profile for dfbuild with `userns,`, or: sysctl -w \
             kernel.apparmor_restrict_unprivileged_userns=0"
                .to_owned(),
        ))
    }

    fn probe_git(&self) -> Probe {
        match self.git() {
            Some(_) => Probe::good("git", "is installed"),
            None => Probe::good("git", "is not in PATH")
                .means(Health::Limited, "git repositories as contexts and in ADD are refused")
                .fix(Some("install git".to_owned())),
        }
    }
}

/// What the sandbox asks of Linux (`mount_setattr`).
const OLDEST_KERNEL: (u32, u32) = (5, 12);

fn probe_kernel() -> Probe {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let machine = name.machine().to_string_lossy().into_owned();
    let probe = Probe::good("kernel", format!("Linux {release} on {machine}"));
    match version(&release) {
        Some(found) if found < OLDEST_KERNEL => probe
            .means(Health::Bad, "RUN is refused; COPY and configuration build")
            .fix(Some(format!("Linux {}.{} or later", OLDEST_KERNEL.0, OLDEST_KERNEL.1))),
        _ => probe,
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn probe_seccomp() -> Probe {
    if Path::new("/proc/sys/kernel/seccomp/actions_avail").exists() {
        return Probe::good("seccomp", "commands have Docker's filter");
    }
    Probe::good("seccomp", "this kernel has none")
        .means(Health::Bad, "RUN is refused; COPY and configuration build")
        .fix(Some("a kernel with CONFIG_SECCOMP_FILTER".to_owned()))
}

fn probe_cgroups() -> Probe {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let version = if unified { "version 2" } else { "version 1, or none" };
    Probe::good("cgroups", format!("{version}; not needed"))
}

/// Those that people build for.
const PLATFORMS: [&str; 7] = ["amd64", "arm64", "arm", "386", "riscv64", "ppc64le", "s390x"];

fn probe_emulation() -> Probe {
    let run: Vec<&str> =
        PLATFORMS.into_iter().filter(|platform| emulation::runs(platform)).collect();
    let probe = Probe::good("platforms", format!("commands run for {}", run.join(", ")));
    if run.contains(&"amd64") && run.contains(&"arm64") {
        return probe;
    }
    probe
        .means(Health::Limited, "RUN for other platforms is refused; COPY for them builds")
        .fix(Some("install qemu-user-static with binfmt-support".to_owned()))
}

/// The names of file systems (`linux/magic.h`, statfs(2)).
fn file_system(magic: impl TryInto<i64>) -> &'static str {
    match magic.try_into().unwrap_or(0) {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        0x6969 => "nfs",
        0x6573_5546 => "fuse",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        _ => "another file system",
    }
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("6.18.5-amd64"), Some((6, 18)));
        assert_eq!(version("5.4.0"), Some((5, 4)));
        assert_eq!(version("x"), None);
        assert!(version("4.19").is_some_and(|found| found < OLDEST_KERNEL));
    }

    #[test]
    fn what_is_not_good_says_what_it_means() {
        let root = tempfile::tempdir().unwrap();
        let engine = Engine::open(root.path()).unwrap();
        let probes = engine.doctor();
        assert!(probes[0].found.contains(root.path().to_str().unwrap()), "{probes:?}");
        for probe in &probes {
            assert_eq!(probe.health == Health::Good, probe.consequence.is_none(), "{probe:?}");
        }
        let names: Vec<_> = probes.iter().map(|probe| probe.name).collect();
        assert!(names.starts_with(&["store", "kernel", "user namespaces"]), "{names:?}");
    }

    #[test]
    fn a_refusal_is_bad_and_says_what_to_change() {
        let root = tempfile::tempdir().unwrap();
        let error = dfbuild_sandbox::Error::UserNamespace {
            source: std::io::Error::from_raw_os_error(1),
            hint: Some(dfbuild_sandbox::Hint::Sysctl {
                name: "kernel.unprivileged_userns_clone",
                value: "1",
            }),
        };
        let engine = Engine::open(root.path()).unwrap().refusing_commands(error);
        let probes = engine.doctor();
        let namespaces = probes.iter().find(|probe| probe.name == "user namespaces").unwrap();
        assert_eq!(namespaces.health, Health::Bad);
        assert!(namespaces.fix.as_ref().unwrap().contains("sysctl -w"), "{namespaces:?}");
        assert!(!probes.iter().any(|probe| probe.name == "overlay"));
    }
}
