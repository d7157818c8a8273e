use std::io::Read;
use std::path::{Path, PathBuf};

use dfbuild::{Build, BuildContext, ContextStream, Output, OutputKind, SecretLeak};
use tempfile::TempDir;

use crate::args::{
    BuildArgs, CacheFlag, Destination, Entitlement, FlagKind, NetworkArg, OutputFlag, ProgressArg,
    SecretLeakArg,
};
use crate::{docker_config, forwarding};

/// A build as the library takes it, and what the command needs beside it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) build: Build,
    /// What goes to standard output afterwards.
    pub(crate) piped: Option<Piped>,
    /// What people should know before it begins.
    pub(crate) notices: Vec<String>,
}

/// An output on its way to standard output: the library writes files.
#[derive(Debug)]
pub(crate) struct Piped {
    pub(crate) file: PathBuf,
    /// Holds the file until it was copied.
    _folder: TempDir,
}

/// Why a command line cannot be carried out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RequestError {
    /// It asks for something that is not there: exit code 2.
    Usage(String),
    /// Something that it names cannot be read: exit code 1.
    Input(String),
}

impl RequestError {
    /// The same with another text.
    pub(crate) fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Usage(text) => Self::Usage(change(text)),
            Self::Input(text) => Self::Input(change(text)),
        }
    }
}

/// What the library does not look at by itself.
pub(crate) struct Machine<'a> {
    pub(crate) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) standard_input: Option<Box<dyn Read + Send>>,
    pub(crate) resolv_conf: Option<Vec<u8>>,
    pub(crate) stdout_is_terminal: bool,
}

impl Request {
    /// Turns arguments into a build. Reads standard input if the Dockerfile is there; a context there
    /// is left to the build.
    pub(crate) fn new(args: &BuildArgs, machine: &mut Machine<'_>) -> Result<Self, RequestError> {
        check_supported(args)?;
        let build = dockerfile(Build::new(context(args, machine)), args, machine)?;
        let mut request = Self { build, piped: None, notices: notices(args) };
        let proxies = docker_config::proxies(machine.environment);
        let proxies = proxies.map_err(|notice| request.notices.push(notice)).unwrap_or_default();
        // One that is given in either case means both.
        let is_given =
            |name: &str| args.build_arg.iter().any(|arg| arg.name.eq_ignore_ascii_case(name));
        let proxies = proxies.into_iter().filter(|(name, _)| !is_given(name));
        request.change(|build| {
            proxies.fold(build, |build, (name, value)| build.build_arg(name, value))
        });
        request.change(|build| what_to_build(build, args, machine.environment));
        for flag in &args.output {
            request.add_output(flag, machine.stdout_is_terminal)?;
        }
        for flag in &args.secret {
            let secret = forwarding::secret(flag, machine.environment, &mut request.notices);
            let secret = secret.map_err(RequestError::Input)?;
            request.change(|build| build.secret(secret));
        }
        for flag in &args.ssh {
            let agent = forwarding::agent(flag, machine.environment);
            let agent = agent.map_err(RequestError::Input)?;
            request.change(|build| build.ssh(agent));
        }
        let resolv_conf = machine.resolv_conf.take();
        request.change(|build| what_commands_see(build, args, resolv_conf));
        Ok(request)
    }

    fn change(&mut self, change: impl FnOnce(Build) -> Build) {
        self.build = change(self.build.clone());
    }

    fn add_output(&mut self, flag: &OutputFlag, terminal: bool) -> Result<(), RequestError> {
        if flag.push {
            self.change(|build| build.push(true));
        }
        if flag.push_by_digest {
            self.change(|build| build.push_by_digest(true));
        }
        let annotations = flag.annotations.iter().flat_map(|annotations| annotations.0.clone());
        self.change(|build| annotations.fold(build, Build::annotation));
        let path = match &flag.destination {
            Destination::None => PathBuf::new(),
            Destination::Path(path) => path.clone(),
            Destination::Stdout if self.piped.is_some() => {
                return Err(usage("--output: only one can go to standard output"));
            }
            Destination::Stdout if terminal => {
                return Err(usage(
                    "--output: `dest=FILE` is missing, and an archive does not go to a terminal",
                ));
            }
            Destination::Stdout => self.pipe()?,
        };
        let mut output = Output::new(match flag.kind {
            FlagKind::OciFolder => OutputKind::OciDirectory(path),
            FlagKind::Oci => OutputKind::OciArchive(path),
            FlagKind::Docker => OutputKind::DockerArchive(path),
            FlagKind::Local => OutputKind::Directory(path),
            FlagKind::Tar => OutputKind::Tar(path),
            FlagKind::Image | FlagKind::Daemon => OutputKind::Store,
        });
        output.compression = flag.compression;
        output.rewrite_timestamp = flag.rewrite_timestamp;
        output.platform_split = flag.platform_split;
        let names = flag.names.clone();
        self.change(|build| names.into_iter().fold(build.output(output), Build::tag));
        Ok(())
    }

    fn pipe(&mut self) -> Result<PathBuf, RequestError> {
        let folder = TempDir::with_prefix("dfbuild-")
            .map_err(|error| RequestError::Input(format!("create a temporary folder: {error}")))?;
        let file = folder.path().join("output.tar");
        self.piped = Some(Piped { file: file.clone(), _folder: folder });
        Ok(file)
    }
}

fn usage(text: impl Into<String>) -> RequestError {
    RequestError::Usage(text.into())
}

/// Refuses what would be lost silently.
fn check_supported(args: &BuildArgs) -> Result<(), RequestError> {
    let to_daemon = args.load || args.output.iter().any(|output| output.kind == FlagKind::Daemon);
    if to_daemon && args.platform.len() > 1 {
        return Err(usage("a daemon is handed the image of one platform: give one --platform"));
    }
    let names = args.output.iter().any(|output| !output.names.is_empty());
    if args.pushes() && args.tag.is_empty() && !names {
        let flag = if args.push { "--push" } else { "--output that pushes" };
        return Err(usage(format!("{flag} needs a name to push to: give --tag")));
    }
    if args.loads() && args.tag.is_empty() && !names {
        let flag = if args.load { "--load" } else { "--output type=docker without dest=" };
        return Err(usage(format!("{flag} needs a name for the image: give --tag")));
    }
    for place in &args.no_cache_step {
        let dockerfile = args.file.as_deref().unwrap_or(Path::new("Dockerfile"));
        if place.file.as_ref().is_some_and(|name| !dockerfile.ends_with(name)) {
            let name = dockerfile.display();
            return Err(usage(format!("--no-cache-step: the Dockerfile is called {name}")));
        }
    }
    let to_stdout = |output: &OutputFlag| matches!(output.destination, Destination::Stdout);
    if args.progress == ProgressArg::Classic && args.output.iter().any(to_stdout) {
        return Err(usage("--progress=classic writes to standard output, and --output too"));
    }
    if is_stdin(&args.context) && args.file.as_deref().is_some_and(is_stdin) {
        return Err(usage("context and Dockerfile cannot both come from standard input"));
    }
    Ok(())
}

fn notices(args: &BuildArgs) -> Vec<String> {
    let mut notices = args.docker.notices();
    if args.attests() {
        notices
            .push("no attestation is written: dfbuild makes no provenance and no SBOM".to_owned());
    }
    let ignored = args.cache_from.iter().filter_map(CacheFlag::ignored);
    let ignored = ignored.chain(args.cache_to.iter().filter_map(CacheFlag::ignored));
    notices.extend(
        ignored.map(|kind| {
            format!("cache type={kind} is ignored: there are registry, local and inline")
        }),
    );
    notices
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// What the context is. A folder of that name comes before anything of the network.
fn context(args: &BuildArgs, machine: &mut Machine<'_>) -> BuildContext {
    let path = &args.context;
    if is_stdin(path)
        && let Some(stream) = machine.standard_input.take()
    {
        return BuildContext::Stream(ContextStream::new(stream));
    }
    let remote = path.to_str().filter(|_| !path.is_dir()).map(BuildContext::parse);
    match remote {
        Some(remote @ (BuildContext::Git(_) | BuildContext::Url(_))) => remote,
        _ => BuildContext::Directory(path.clone()),
    }
}

fn dockerfile(
    build: Build,
    args: &BuildArgs,
    machine: &mut Machine<'_>,
) -> Result<Build, RequestError> {
    match args.file.as_deref() {
        None => Ok(build),
        Some(file) if is_stdin(file) => {
            let mut bytes = Vec::new();
            let input = machine.standard_input.take();
            input.map_or(Ok(0), |mut input| input.read_to_end(&mut bytes)).map_err(|error| {
                RequestError::Input(format!("read the Dockerfile from standard input: {error}"))
            })?;
            Ok(build.dockerfile_text(String::from_utf8_lossy(&bytes)))
        }
        Some(file) => Ok(build.dockerfile(file)),
    }
}

fn what_to_build(
    mut build: Build,
    args: &BuildArgs,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Build {
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    build = build.no_cache(args.no_cache).pull(args.pull).push(args.push);
    build = build.normalise_modes(args.normalise_modes);
    build = args.cache_from.iter().filter_map(CacheFlag::cache).fold(build, Build::cache_from);
    build = args.cache_to.iter().filter_map(CacheFlag::cache).fold(build, Build::cache_to);
    build = args.tag.iter().fold(build, Build::tag);
    // As with docker: a variable of a script may be empty.
    if let Some(target) = args.target.as_ref().filter(|target| !target.is_empty()) {
        build = build.target(target);
    }
    build = args.platform.iter().cloned().fold(build, Build::platform);
    let annotations = args.annotation.iter().flat_map(|annotations| &annotations.0);
    build = annotations.cloned().fold(build, Build::annotation);
    if let Some(epoch) = environment(EPOCH).filter(|epoch| !epoch.is_empty()) {
        build = build.build_arg(EPOCH, epoch);
    }
    for arg in &args.build_arg {
        // An argument without a value anywhere keeps the Dockerfile's default, as with docker.
        if let Some(value) = arg.value.clone().or_else(|| environment(&arg.name)) {
            build = build.build_arg(&arg.name, value);
        }
    }
    for label in &args.label {
        build = build.label(&label.name, label.value.clone().unwrap_or_default());
    }
    for (name, context) in &args.build_context {
        build = build.build_context(name, context.clone());
    }
    build = build.require_cache(args.require_cache).no_stat_cache(args.no_stat_cache);
    build = args.no_cache_step.iter().map(|place| place.line).fold(build, Build::no_cache_step);
    if let Some(age) = args.cache_max_age {
        build = build.cache_max_age(age);
    }
    let stages = args.no_cache_filter.iter().filter(|stage| !stage.is_empty());
    stages.fold(build, Build::no_cache_filter)
}

fn what_commands_see(mut build: Build, args: &BuildArgs, resolv_conf: Option<Vec<u8>>) -> Build {
    build = build
        .fast_paths(!args.no_fast_paths)
        .secret_leak(match args.secret_leak {
            SecretLeakArg::Error => SecretLeak::Error,
            SecretLeakArg::Warn => SecretLeak::Warn,
            SecretLeakArg::Off => SecretLeak::Off,
        })
        .network_none(args.network == NetworkArg::None)
        .allow_insecure(args.allow.contains(&Entitlement::SecurityInsecure));
    for (name, address) in &args.add_host {
        build = build.add_host(name, address);
    }
    if let Some(bytes) = args.shm_size {
        build = build.shm_size(bytes);
    }
    build = args.ulimit.iter().cloned().fold(build, Build::ulimit);
    if let Some(content) = resolv_conf {
        build = build.resolv_conf(content);
    }
    if let Some(jobs) = args.jobs {
        build = build.jobs(jobs.get());
    }
    match args.timeout {
        Some(timeout) => build.timeout(timeout),
        None => build,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;

    use super::*;
    use crate::args::{Cli, Command};

    fn request(line: &str) -> Result<Request, RequestError> {
        request_with(line, &|name| match name {
            "SOURCE_DATE_EPOCH" => Some("11".to_owned()),
            "TOKEN" => Some("hunter2".to_owned()),
            _ => None,
        })
    }

    fn request_with(
        line: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Request, RequestError> {
        let args = ["dfbuild", "build"].into_iter().chain(line.split_whitespace());
        let Command::Build(args) = Cli::read(args.map(OsString::from)).unwrap().command else {
            panic!("not a build")
        };
        Request::new(
            &args,
            &mut Machine {
                environment,
                standard_input: Some(Box::new("FROM scratch\n".as_bytes())),
                resolv_conf: Some(b"nameserver 192.0.2.1\n".to_vec()),
                stdout_is_terminal: false,
            },
        )
    }

    /// The library keeps its fields to itself, but prints them.
    fn check(line: &str, parts: &[&str]) {
        let text = format!("{:?}", request(line).unwrap().build);
        for part in parts {
            assert!(text.contains(part), "{line}: no {part} in {text}");
        }
    }

    #[test]
    fn flags_reach_the_build() {
        check("-f D -t a -t b .", &[r#"File("D")"#, r#"tags: ["a", "b"]"#]);
        check("-f - .", &[r#"Text("FROM scratch\n")"#]);
        check(
            "--target x --no-cache --no-cache-filter a,b .",
            &[r#"target: Some("x")"#, "no_cache: true", r#"no_cache_filter: ["a", "b"]"#],
        );
        check("--target= .", &["target: None"]);
        check(
            "-o type=image,name=a,push-by-digest=true,annotation.b=c,push=true .",
            &[r#"tags: ["a"]"#, "push: true", "push_by_digest: true", r#"key: "b", value: "c""#],
        );
        assert!(request("--sbom=true .").unwrap().notices[0].contains("no attestation is written"));
        check("--secret-leak=error .", &["secret_leak: Error"]);
        check("--label a=b --label c .", &[r#""a": "b""#, r#""c": """#]);
        check(
            "--network none --allow security.insecure .",
            &["network_none: true", "allow_insecure: true"],
        );
        check(
            "-o out -o type=oci,dest=a.tar,name=x .",
            &[r#"Directory("out")"#, r#"OciArchive("a.tar")"#, r#"tags: ["x"]"#],
        );
        check(
            "--add-host a=[::1] --shm-size 1k -j 2 --timeout 5s .",
            &[
                r#"[("a", "::1")]"#,
                "shm_size: Some(1024)",
                "jobs: Some(2)",
                "timeout: Some(5s)",
                "resolv_conf: Some([",
            ],
        );
    }

    #[test]
    fn contexts() {
        check(".", &[r#"context: Directory(".")"#]);
        check("-", &["context: Stream(ContextStream(..))"]);
        check("https://a.example/b.git#x", &[r#"context: Git("https://a.example/b.git#x")"#]);
        check("git@a.example:b", &[r#"context: Git("git@a.example:b")"#]);
        check("github.com/a/b", &[r#"context: Git("github.com/a/b")"#]);
        check("https://a.example/b.tar", &[r#"context: Url("https://a.example/b.tar")"#]);
        check("oci-layout://x", &[r#"context: Directory("oci-layout://x")"#]);
    }

    #[test]
    fn values_come_from_the_environment() {
        check("--build-arg TOKEN .", &[r#""TOKEN": "hunter2""#, r#""SOURCE_DATE_EPOCH": "11""#]);
        check("--build-arg SOURCE_DATE_EPOCH=5 .", &[r#""SOURCE_DATE_EPOCH": "5""#]);
        check("--build-arg UNSET .", &[r#"build_args: {"SOURCE_DATE_EPOCH": "11"}"#]);
    }

    #[test]
    fn proxies_of_docker_come_before_arguments() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.json");
        let place = folder.path().to_str().unwrap();
        let environment = |name: &str| (name == "DOCKER_CONFIG").then(|| place.to_owned());
        let request = || request_with("--build-arg HTTP_PROXY=mine .", &environment).unwrap();
        let proxies = r#"{"proxies": {"default": {"httpProxy": "p", "noProxy": "q"}}}"#;
        fs::write(&config, proxies).unwrap();
        let text = format!("{:?}", request().build);
        let expected = r#"{"HTTP_PROXY": "mine", "NO_PROXY": "q", "no_proxy": "q"}"#;
        assert!(text.contains(expected), "{text}");
        fs::write(&config, "[").unwrap();
        assert!(request().notices[0].contains("config.json are not known"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = format!("{:?}", request("--secret id=a,env=TOKEN .").unwrap());
        assert!(!text.contains("hunter2") && text.contains("Value(..)"), "{text}");
        let missing = request("--secret id=a,src=/nonexistent/file .").unwrap_err();
        assert!(matches!(missing, RequestError::Input(_)), "{missing:?}");
        let no_agent = request("--ssh default .").unwrap_err();
        assert!(matches!(no_agent, RequestError::Input(_)), "{no_agent:?}");
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for (line, part) in [
            ("--push .", "--push needs a name"),
            ("--load .", "--load needs a name"),
            ("--load --platform linux/amd64,linux/386 -t a .", "of one platform"),
            ("-o type=registry .", "--output that pushes needs a name"),
            ("-o type=docker .", "--output type=docker without dest= needs a name"),
            ("-f - -", "cannot both come from standard input"),
            ("-o - -o type=oci .", "only one"),
            ("-o - --progress=classic .", "--progress=classic writes to standard output"),
        ] {
            let RequestError::Usage(text) = request(line).unwrap_err() else { panic!("{line}") };
            assert!(text.contains(part), "{line}: {text}");
        }
    }

    #[test]
    fn caches() {
        check(
            "--cache-from a.example/c:1 --cache-to type=registry,ref=a.example/c,mode=max .",
            &["cache_from: [Registry(", "cache_to: [CacheExport { target: Registry(", "mode: Max"],
        );
        let request = request("--cache-from type=gha --cache-to type=s3,bucket=x .").unwrap();
        assert!(request.notices.len() == 2 && request.notices[0].contains("type=gha is ignored"));
    }

    #[test]
    fn one_output_goes_to_standard_output() {
        let request = request("-o - .").unwrap();
        let file = request.piped.unwrap().file;
        assert!(format!("{:?}", request.build).contains(file.to_str().unwrap()));
    }
}
