use std::ffi::OsString;

use clap::Args;

use super::docker_flags::told;

/// Flags of `docker run` that mean nothing here. They are taken, so that scripts go on, and told of
/// where somebody might count on them.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct DockerRunFlags {
    // What they are about would be gone at once, or is not there.
    #[arg(long, hide = true)]
    name: Option<OsString>,
    #[arg(short, long, hide = true)]
    label: Vec<OsString>,
    #[arg(long, hide = true)]
    label_file: Vec<OsString>,
    #[arg(long, hide = true)]
    annotation: Vec<OsString>,
    #[arg(long, hide = true)]
    detach_keys: Option<OsString>,
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    #[arg(long, hide = true)]
    expose: Vec<OsString>,
    #[arg(long, hide = true)]
    log_driver: Option<OsString>,
    #[arg(long, hide = true)]
    log_opt: Vec<OsString>,
    #[arg(long, hide = true)]
    no_healthcheck: bool,
    #[arg(long, hide = true)]
    stop_signal: Option<OsString>,
    #[arg(long, hide = true)]
    stop_timeout: Option<OsString>,
    #[arg(short, long, hide = true)]
    quiet: bool,

    #[arg(long, hide = true)]
    init: bool,
    #[arg(short, long, hide = true)]
    attach: Vec<OsString>,
    #[arg(short, long, hide = true)]
    publish: Vec<OsString>,
    #[arg(short = 'P', long, hide = true)]
    publish_all: bool,
    #[arg(long, hide = true)]
    restart: Option<OsString>,
    #[arg(short, long, hide = true)]
    detach: bool,
    #[arg(short, long, hide = true)]
    memory: Option<OsString>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    memory_swap: Option<OsString>,
    #[arg(long, hide = true)]
    cpus: Option<OsString>,
    #[arg(short, long, hide = true)]
    cpu_shares: Option<OsString>,
    #[arg(long, hide = true)]
    cpuset_cpus: Option<OsString>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pids_limit: Option<OsString>,
}

impl DockerRunFlags {
    /// What people should know of those that were given.
    pub(crate) fn notices(&self) -> Vec<String> {
        const PORTS: &str = "the command has this machine's network, and its ports are open";
        const INIT: &str = "the command itself is the first process; the third SIGINT or SIGTERM \
                            kills it, and all that is left ends with it";
        const LIMITS: &str =
            "limit dfbuild itself, as `systemd-run --user --scope -p MemoryMax=1G dfbuild run …`";
        const CPUS: &str =
            "limit dfbuild itself, as `systemd-run --user --scope -p CPUQuota=200% dfbuild run …`";
        const STREAMS: &str = "the command has this one's output and error, and with -i its input";
        let given = Option::is_some;
        let flags = [
            (self.init, "init", INIT),
            (!self.attach.is_empty(), "attach", STREAMS),
            (!self.publish.is_empty(), "publish", PORTS),
            (self.publish_all, "publish-all", PORTS),
            (self.restart.is_some(), "restart", "a command runs once"),
            (self.detach, "detach", "a command runs in the foreground"),
            (given(&self.memory), "memory", LIMITS),
            (given(&self.memory_swap), "memory-swap", LIMITS),
            (given(&self.cpus), "cpus", CPUS),
            (given(&self.cpu_shares), "cpu-shares", CPUS),
            (given(&self.cpuset_cpus), "cpuset-cpus", CPUS),
            (given(&self.pids_limit), "pids-limit", LIMITS),
        ];
        told(flags)
    }
}

/// Flags of `docker run` that promise what is not kept here, and why.
const REFUSED: &[(&[&str], &str)] = &[
    (&["--cap-add", "--cap-drop", "--security-opt"], CAPABILITIES),
    (&["--group-add"], "give the groups with the user: `--user USER:GROUP`"),
    (&["--device", "--device-cgroup-rule", "--gpus"], DEVICES),
    (&["--volumes-from", "--link", "--cidfile"], CONTAINERS),
    (&["--network-alias", "--ip", "--ip6", "--link-local-ip", "--mac-address"], NETWORK),
    (&["--dns", "--dns-search", "--dns-option"], RESOLVER),
    (
        &[
            "--sysctl",
            "--pid",
            "--ipc",
            "--uts",
            "--userns",
            "--cgroupns",
            "--cgroup-parent",
            "--isolation",
        ],
        NAMESPACES,
    ),
    (&["--domainname"], "give it with the name: `--hostname NAME.DOMAIN`"),
    (&["--runtime"], "dfbuild runs the command itself"),
    (&["--sig-proxy"], "signals always go to the command"),
    (&["--use-api-socket"], "there is no daemon"),
    (&["--volume-driver"], "there are no volumes, only folders: `-v FOLDER:TARGET`"),
    (&["--storage-opt"], "what the command writes goes to the disk of the store"),
    (
        &[
            "--blkio-weight",
            "--blkio-weight-device",
            "--cpu-period",
            "--cpu-quota",
            "--cpu-rt-period",
            "--cpu-rt-runtime",
            "--cpuset-mems",
            "--device-read-bps",
            "--device-read-iops",
            "--device-write-bps",
            "--device-write-iops",
            "--kernel-memory",
            "--memory-reservation",
            "--memory-swappiness",
            "--oom-kill-disable",
            "--oom-score-adj",
        ],
        "limit dfbuild itself, with the properties of `systemd-run --user --scope`",
    ),
    (
        &[
            "--health-cmd",
            "--health-interval",
            "--health-retries",
            "--health-start-interval",
            "--health-start-period",
            "--health-timeout",
        ],
        "a command runs in the foreground, and nobody asks for its health",
    ),
];

const CAPABILITIES: &str = "a command has docker's default capabilities and filter of system calls, or with --privileged all \
     of them and none";
const DEVICES: &str = "the command has the six nodes of /dev that every container has";
const CONTAINERS: &str = "there are no containers that could be named";
const NETWORK: &str = "there are this machine's network, and none with --network none";
const RESOLVER: &str = "the command has this machine's /etc/resolv.conf; another one is \
                        `-v FILE:/etc/resolv.conf:ro`";
const NAMESPACES: &str = "a command has namespaces of its own, all but that of the network";

/// Why a flag of `docker run` is not taken.
pub(super) fn refused(flag: &str) -> Option<String> {
    let (_, why) = REFUSED.iter().find(|(names, _)| names.contains(&flag))?;
    Some(format!("{flag} is not there: {why}"))
}
