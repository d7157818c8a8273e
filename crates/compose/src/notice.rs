use crate::error::Place;
use crate::node::{Node, Value};

/// What whoever wrote a compose file should know, and can be built all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A variable that is not set, and for which an empty text was put in.
    Unset {
        /// Where it is used first.
        place: Place,
        /// Its name.
        name: String,
    },
    /// A key that the compose specification does not have: what is under it does not count.
    UnknownKey {
        /// Where.
        place: Place,
        /// The key, with what it is in.
        what: String,
        /// The key alone.
        key: String,
        /// Those that could stand there.
        known: &'static [&'static str],
    },
}

/// The keys of `node` that are neither among `known` nor anybody's own (`x-…`). `what` is what they are in.
pub(crate) fn unknown_keys(
    node: &Node,
    what: &str,
    known: &'static [&'static str],
    notices: &mut Vec<Notice>,
) {
    let Value::Map(fields) = &node.value else { return };
    for (key, value) in fields {
        if !key.starts_with("x-") && !known.contains(&key.as_str()) {
            let place = value.key.as_ref().unwrap_or(&value.place).clone();
            let (what, key) = (format!("{what}{key}"), key.clone());
            notices.push(Notice::UnknownKey { place, what, key, known });
        }
    }
}

/// The keys of a compose file (`schema/compose-spec.json` of the compose specification).
pub(crate) const TOP: &[&str] = &[
    "configs", "include", "models", "name", "networks", "secrets", "services", "version", "volumes",
];

/// The keys of `build`, from the same schema.
pub(crate) const BUILD: &[&str] = &[
    "additional_contexts",
    "args",
    "cache_from",
    "cache_to",
    "context",
    "dockerfile",
    "dockerfile_inline",
    "entitlements",
    "extra_hosts",
    "isolation",
    "labels",
    "network",
    "no_cache",
    "no_cache_filter",
    "platforms",
    "privileged",
    "provenance",
    "pull",
    "sbom",
    "secrets",
    "shm_size",
    "ssh",
    "tags",
    "target",
    "ulimits",
];

/// The keys of a service, from the same schema.
pub(crate) const SERVICE: &[&str] = &[
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",
    "depends_on",
    "deploy",
    "develop",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "gpus",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "label_file",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "post_start",
    "pre_start",
    "pre_stop",
    "privileged",
    "profiles",
    "provider",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
];
