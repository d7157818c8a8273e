use std::path::{Component, Path, PathBuf};

use dfbuild::BuildContext;
use dfbuild_compose::{SecretSource, Service};

use super::files::Files;
use crate::args::{ComposeArgs, PLATFORM};

/// The build of a service, in the words of `dfbuild build`: what can be said in a compose file can be
/// said on the command line, and means the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// With `build`, without the name of the program.
    pub(super) arguments: Vec<String>,
    /// A Dockerfile for standard input.
    pub(super) dockerfile: Option<String>,
}

/// How to build a service.
pub(super) fn of(service: &Service, files: &Files, args: &ComposeArgs) -> CommandLine {
    let build = service.build.clone().unwrap_or_default();
    let mut line = Line(vec!["build".to_owned()]);
    let project = &files.project;
    line.flag("--tag", service.image_name(&project.name));
    line.flags("--tag", build.tags);
    let context = place(&build.context, &files.folder);
    if let Some(dockerfile) = &build.dockerfile {
        let is_local = matches!(BuildContext::parse(&build.context), BuildContext::Directory(_));
        let path = if is_local { Path::new(&context).join(dockerfile) } else { dockerfile.into() };
        line.flag("--file", path.to_string_lossy());
    } else if build.dockerfile_inline.is_some() {
        line.flag("--file", "-");
    }
    line.flags("--target", build.target);
    for (name, value) in build.args {
        // Without a value anywhere the Dockerfile's default counts.
        if let Some(value) = value.or_else(|| files.variable(&name)) {
            line.flag("--build-arg", format!("{name}={value}"));
        }
    }
    for arg in &args.build_arg {
        if let Some(value) = arg.value.clone().or_else(|| files.variable(&arg.name)) {
            line.flag("--build-arg", format!("{}={value}", arg.name));
        }
    }
    line.flags("--label", build.labels.into_iter().map(|(name, value)| format!("{name}={value}")));
    for secret in &build.secrets {
        let origin = match project.secrets.get(&secret.source) {
            Some(SecretSource::File(path)) => format!(",src={}", place(path, &files.folder)),
            Some(SecretSource::Environment(name)) => format!(",env={name}"),
            _ => String::new(),
        };
        line.flag("--secret", format!("id={}{origin}", secret.id));
    }
    line.flags("--ssh", build.ssh.into_iter().chain(args.ssh.iter().cloned()));
    for (name, value) in build.additional_contexts {
        let value = match value.strip_prefix("service:").map(|name| project.services.get(name)) {
            Some(Some(other)) => format!("docker-image://{}", other.image_name(&project.name)),
            _ => place(&value, &files.folder),
        };
        line.flag("--build-context", format!("{name}={value}"));
    }
    line.flags("--cache-from", build.cache_from);
    line.flags("--cache-to", build.cache_to);
    let platforms = if build.platforms.is_empty() {
        let given = || files.variable(PLATFORM).filter(|value| !value.is_empty());
        service.platform.clone().or_else(given).into_iter().collect()
    } else {
        build.platforms
    };
    line.flags("--platform", platforms);
    line.flags("--network", build.network);
    line.flags("--shm-size", build.shm_size);
    let hosts = build.extra_hosts.into_iter();
    line.flags("--add-host", hosts.map(|(name, address)| format!("{name}={address}")));
    let limits = build.ulimits.into_iter();
    line.flags("--ulimit", limits.map(|(name, soft, hard)| format!("{name}={soft}:{hard}")));
    line.flags("--allow", build.entitlements);
    line.flags("--no-cache-filter", build.no_cache_filter);
    let switches = [
        ("--no-cache", args.no_cache || build.no_cache),
        ("--require-cache", args.require_cache),
        ("--pull", args.pull || build.pull),
        ("--push", args.push && service.image.is_some()),
        ("--offline", args.registries.offline),
    ];
    line.0.extend(switches.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned()));
    line.0.push("--".to_owned());
    line.0.push(context);
    CommandLine { arguments: line.0, dockerfile: build.dockerfile_inline }
}

/// The Dockerfile of a service that names none, as seen from here.
pub(super) fn default_dockerfile(service: &Service, files: &Files) -> Option<String> {
    let build = service.build.as_ref()?;
    let is_local = matches!(BuildContext::parse(&build.context), BuildContext::Directory(_));
    let is_named = build.dockerfile.is_some() || build.dockerfile_inline.is_some();
    (is_local && !is_named).then(|| place(&format!("{}/Dockerfile", build.context), &files.folder))
}

/// A path of the compose file as seen from here; what is no folder stays as it is.
fn place(text: &str, folder: &Path) -> String {
    match BuildContext::parse(text) {
        BuildContext::Directory(_) if !text.starts_with("service:") => {
            let path = folder.join(text);
            let short: PathBuf =
                path.components().filter(|part| *part != Component::CurDir).collect();
            let is_here = short.as_os_str().is_empty();
            if is_here { ".".to_owned() } else { short.to_string_lossy().into_owned() }
        }
        _ => text.to_owned(),
    }
}

struct Line(Vec<String>);

impl Line {
    /// In one word, so that no value is taken for a flag.
    fn flag(&mut self, name: &str, value: impl AsRef<str>) {
        self.0.push(format!("{name}={}", value.as_ref()));
    }

    fn flags(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        values.into_iter().for_each(|value| self.flag(name, value));
    }
}
