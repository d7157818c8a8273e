use dfbuild_dockerfile::ast::{Command, Mount, MountFlag, MountKind, Run, Sharing};
use dfbuild_dockerfile::{Diagnostic, DiagnosticKind};

use crate::error::error;
use crate::graph::{RunMount, RunStep, StepKind, TreeSource};
use crate::scope::{Place, Scope, absolute};

/// Where the script of a heredoc is mounted (BuildKit `dispatchRun`).
const SCRIPT_DIRECTORY: &str = "/dev/pipes/";

impl Scope {
    /// Adds the step of a `RUN` with mounts that were resolved before.
    pub(crate) fn run(
        &mut self,
        run: &Run,
        mounts: Vec<RunMount>,
        proxy_env: Vec<(String, String)>,
        place: &Place,
    ) -> Result<(), Diagnostic> {
        let (args, script) = self.command(run);
        if args.is_empty() {
            return Err(error("arguments are required", place.span)
                .with_help("write the command: `RUN [\"program\", \"argument\"]`"));
        }
        let line = format!("RUN {} # buildkit", self.history_args(&args));
        let step = RunStep {
            args,
            env: self.env.pairs().to_vec(),
            proxy_env,
            cwd: self.cwd(),
            user: self.config.config.user.clone(),
            mounts,
            network: run.network,
            security: run.security,
            script,
        };
        let mut place = place.clone();
        if let [heredoc, ..] = run.heredocs.as_slice() {
            place.text = format!("{} ({})", place.text, summary(&heredoc.content));
        }
        self.push(&place, StepKind::Run(step), line);
        Ok(())
    }

    /// The arguments, and the script if the whole argument is one heredoc that begins with `#!`.
    fn command(&self, run: &Run) -> (Vec<String>, Option<(String, String)>) {
        let text = match &run.command {
            Command::Exec(words) => {
                return (words.iter().map(|word| word.value.to_string()).collect(), None);
            }
            Command::Shell(text) => text,
        };
        match run.heredocs.as_slice() {
            [] => (self.shell_form(&text.value.text()), None),
            // The whole argument is the marker: the body is what runs. Whether it may be expanded
            // does not matter, the shell does that.
            [heredoc] if text.span.len() <= heredoc.marker.len() => {
                let body = heredoc.text();
                if body.starts_with("#!") {
                    let path = format!("{SCRIPT_DIRECTORY}{}", heredoc.name);
                    (self.shell_form(&path), Some((heredoc.name.to_string(), body.into())))
                } else {
                    (self.shell_form(&body), None)
                }
            }
            // Anything else is put together again for the shell, which has to know heredocs.
            heredocs => {
                let mut full = text.value.text().into_owned();
                for heredoc in heredocs {
                    full.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
                }
                (self.shell_form(&full), None)
            }
        }
    }

    /// The arguments as the history has them: `|2 a=1 b= /bin/sh -c …`, each declared argument
    /// once, at the place of its first declaration, with the value in force.
    fn history_args(&self, args: &[String]) -> String {
        let mut declared: Vec<(&str, &str)> = Vec::new();
        for (name, value) in &self.declared {
            let value = self.env.get(name).or(value.as_deref()).unwrap_or("");
            match declared.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => *old = value,
                None => declared.push((name, value)),
            }
        }
        let mut words = Vec::new();
        if !declared.is_empty() {
            words.push(format!("|{}", declared.len()));
            words.extend(declared.iter().map(|(name, value)| format!("{name}={value}")));
        }
        words.extend(args.iter().cloned());
        words.join(" ")
    }

    /// A `--mount` with its values expanded, before its `from` is looked up.
    pub(crate) fn mount(&self, flag: &MountFlag) -> Result<Mount, Diagnostic> {
        let mount = flag.resolve(&mut |value| self.expand_text(value));
        mount.map_err(|problem| {
            Diagnostic::error(DiagnosticKind::Mount, problem.message, flag.text.span)
                .with_suggestion(problem.suggestion)
        })
    }

    /// The mount with the defaults of its kind (BuildKit `convert_runmount.go`, `dispatchRunMounts`).
    pub(crate) fn complete_mount(
        &self,
        mount: Mount,
        from: Option<TreeSource>,
        ssh_number: usize,
    ) -> RunMount {
        let target = mount.target.filter(|target| !target.is_empty());
        let (id, target) = match mount.kind {
            MountKind::Secret => {
                let id = mount.source.clone().or(mount.id).filter(|id| !id.is_empty());
                let id = id.or_else(|| target.as_deref().map(base_name).map(str::to_owned));
                let id = id.unwrap_or_default();
                let target = target.unwrap_or_else(|| default_secret_target(&id));
                (id, target)
            }
            MountKind::Ssh => (
                mount.id.unwrap_or_else(|| "default".to_owned()),
                target.unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{ssh_number}")),
            ),
            MountKind::Bind | MountKind::Cache | MountKind::Tmpfs => {
                let target = absolute(&self.cwd(), &target.unwrap_or_default());
                (mount.id.unwrap_or_else(|| target.clone()), target)
            }
        };
        RunMount {
            kind: mount.kind,
            from,
            source: absolute("/", mount.source.as_deref().unwrap_or("/")),
            target: absolute(&self.cwd(), &target),
            read_only: mount.read_only,
            id,
            sharing: mount.sharing.unwrap_or(Sharing::Shared),
            required: mount.required,
            size: mount.size.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0),
            mode: mount.mode,
            uid: mount.uid.unwrap_or(0),
            gid: mount.gid.unwrap_or(0),
            env: mount.env,
        }
    }
}

/// Where a secret is found that is mounted without a target.
pub fn default_secret_target(id: &str) -> String {
    format!("/run/secrets/{}", base_name(id))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The first line of a heredoc, for progress.
fn summary(content: &str) -> String {
    let content = content.trim_start();
    let first = content.lines().next().unwrap_or_default();
    if content.trim_end().len() > first.len() { format!("{first}...") } else { first.to_owned() }
}
