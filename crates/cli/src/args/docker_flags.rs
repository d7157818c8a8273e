use std::ffi::OsString;

use clap::Args;

use super::values::parse_attestation;

/// Flags of `docker build` that mean nothing here. They are taken, so that scripts go on, and told of
/// where somebody might count on them.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct DockerFlags {
    /// There are no containers that could be left.
    #[arg(long, hide = true)]
    rm: bool,
    #[arg(long, hide = true)]
    force_rm: bool,
    /// The context does not travel.
    #[arg(long, hide = true)]
    compress: bool,
    #[arg(long, hide = true)]
    disable_content_trust: bool,

    #[arg(long, hide = true)]
    squash: bool,
    #[arg(long, hide = true)]
    builder: Option<OsString>,
    #[arg(long, hide = true)]
    isolation: Option<OsString>,
    #[arg(long, hide = true)]
    security_opt: Vec<OsString>,
    #[arg(short, long, hide = true)]
    memory: Option<OsString>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    memory_swap: Option<OsString>,
    #[arg(short, long, hide = true)]
    cpu_shares: Option<OsString>,
    #[arg(long, hide = true)]
    cpu_period: Option<OsString>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    cpu_quota: Option<OsString>,
    #[arg(long, hide = true)]
    cpuset_cpus: Option<OsString>,
    #[arg(long, hide = true)]
    cpuset_mems: Option<OsString>,
    #[arg(long, hide = true)]
    cgroup_parent: Option<OsString>,
}

impl DockerFlags {
    /// What people should know of those that were given.
    pub(crate) fn notices(&self) -> Vec<String> {
        const SQUASH: &str = "copy what is wanted into a last stage, `COPY --from=STAGE / /`";
        const BUILDER: &str = "there are no builders, dfbuild builds itself";
        const SECURITY: &str = "`--allow security.insecure` lets a RUN ask for more";
        const LIMITS: &str = "limit dfbuild itself and its commands with it, as \
                              `systemd-run --user --scope -p MemoryMax=1G dfbuild …`";
        const CPUS: &str = "limit dfbuild itself and its commands with it, as \
                            `systemd-run --user --scope -p CPUQuota=200% dfbuild …`";
        let given = Option::is_some;
        let flags = [
            (self.squash, "squash", SQUASH),
            (given(&self.builder), "builder", BUILDER),
            (!self.security_opt.is_empty(), "security-opt", SECURITY),
            (given(&self.memory), "memory", LIMITS),
            (given(&self.memory_swap), "memory-swap", LIMITS),
            (given(&self.cpu_shares), "cpu-shares", CPUS),
            (given(&self.cpu_period), "cpu-period", CPUS),
            (given(&self.cpu_quota), "cpu-quota", CPUS),
            (given(&self.cpuset_cpus), "cpuset-cpus", CPUS),
            (given(&self.cpuset_mems), "cpuset-mems", CPUS),
            (given(&self.cgroup_parent), "cgroup-parent", LIMITS),
        ];
        told(flags)
    }
}

/// The same of `docker compose`, and of its `build`.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct ComposeFlags {
    #[command(flatten)]
    build: DockerFlags,
    #[arg(long, hide = true)]
    no_rm: bool,
    #[arg(long, hide = true)]
    all_resources: bool,
    #[arg(long, hide = true, value_parser = parse_attestation)]
    provenance: Option<bool>,
    #[arg(long, hide = true, value_parser = parse_attestation)]
    sbom: Option<bool>,

    #[arg(long, hide = true)]
    with_dependencies: bool,
    #[arg(long, hide = true)]
    compatibility: bool,
    #[arg(long, hide = true)]
    ansi: Option<OsString>,
}

impl ComposeFlags {
    /// What people should know of those that were given.
    pub(crate) fn notices(&self) -> Vec<String> {
        const NEEDED: &str =
            "services are built with those whose images they begin with; name the others";
        const COMPATIBILITY: &str = "images are called PROJECT-SERVICE";
        const ANSI: &str = "NO_COLOR=1 switches colours off, --progress=plain what moves";
        let flags = [
            (self.provenance == Some(true), "provenance", "no attestation is written"),
            (self.sbom == Some(true), "sbom", "no attestation is written"),
            (self.with_dependencies, "with-dependencies", NEEDED),
            (self.compatibility, "compatibility", COMPATIBILITY),
            (self.ansi.is_some(), "ansi", ANSI),
        ];
        let mut notices = self.build.notices();
        notices.extend(told(flags));
        notices
    }
}

/// A line for each flag that was given: its name, and what to do instead.
pub(super) fn told<'a>(flags: impl IntoIterator<Item = (bool, &'a str, &'a str)>) -> Vec<String> {
    let given = flags.into_iter().filter(|(given, ..)| *given);
    given.map(|(_, name, instead)| format!("--{name} does not count here: {instead}")).collect()
}
