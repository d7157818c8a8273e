use dfbuild_dockerfile::ast::{Command, Healthcheck, HealthcheckCommand, Instruction, KeyValues};
use dfbuild_dockerfile::ast::{Expose, Stopsignal, User, Volume, Workdir};
use dfbuild_dockerfile::expand::Expander;
use dfbuild_dockerfile::quote::quote_list;
use dfbuild_dockerfile::{Diagnostic, InstructionKind, Word, port, signal};
use dfbuild_image::Healthcheck as HealthcheckConfig;
use serde_json::{Map, Value};

use crate::environment::Environment;
use crate::error::error;
use crate::go_duration::duration;
use crate::graph::{StepKind, WorkdirStep};
use crate::scope::{Place, Scope, absolute};

impl Scope {
    /// Carries out an instruction that only changes the configuration. `false` if it is not one.
    pub(crate) fn configure(&mut self, instruction: &Instruction) -> Result<bool, Diagnostic> {
        match &instruction.kind {
            InstructionKind::Cmd(command) => self.cmd(command),
            InstructionKind::Entrypoint(command) => self.entrypoint(command),
            InstructionKind::Env(pairs) => self.env(pairs)?,
            InstructionKind::Expose(expose) => self.expose(expose)?,
            InstructionKind::Healthcheck(check) => self.healthcheck(check),
            InstructionKind::Label(pairs) => self.label(pairs)?,
            InstructionKind::Maintainer(maintainer) => {
                maintainer.name.value.as_ref().clone_into(&mut self.config.author);
                self.remember(format!("MAINTAINER {}", maintainer.name.value));
            }
            InstructionKind::Onbuild(onbuild) => {
                self.config.config.on_build.push(onbuild.trigger.to_string());
            }
            InstructionKind::Shell(shell) => {
                let words: Vec<String> =
                    shell.words.iter().map(|word| word.value.to_string()).collect();
                self.remember(format!("SHELL [{}]", words.join(" ")));
                self.config.config.shell = Some(words);
            }
            InstructionKind::Stopsignal(stopsignal) => self.stopsignal(stopsignal)?,
            InstructionKind::User(user) => self.user(user)?,
            InstructionKind::Volume(volume) => self.volume(volume)?,
            InstructionKind::Workdir(workdir) => self.workdir(workdir, instruction)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn cmd(&mut self, command: &Command) {
        let words = self.words(command);
        self.remember(format!("CMD {}", quote_list(&words)));
        self.config.config.cmd = (!words.is_empty()).then_some(words);
        self.config.config.args_escaped = true;
        self.cmd_set = true;
    }

    fn entrypoint(&mut self, command: &Command) {
        let words = self.words(command);
        self.remember(format!("ENTRYPOINT {}", quote_list(&words)));
        self.config.config.entrypoint = (!words.is_empty()).then_some(words);
        if !self.cmd_set {
            self.config.config.cmd = None;
        }
    }

    fn words(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Shell(text) => self.shell_form(&text.value.text()),
            Command::Exec(words) => words.iter().map(|word| word.value.to_string()).collect(),
        }
    }

    /// All pairs of an instruction see the variables from before it.
    fn env(&mut self, pairs: &KeyValues) -> Result<(), Diagnostic> {
        let mut line = "ENV".to_owned();
        let mut config = Environment::from_config(&self.config.config.env);
        for (name, value) in self.expand_pairs(pairs)? {
            line.push_str(&format!(" {name}={value}"));
            config.set(&name, value.as_str());
            self.env.set(&name, value);
        }
        let pairs = config.pairs().iter();
        self.config.config.env = pairs.map(|(name, value)| format!("{name}={value}")).collect();
        self.remember(line);
        Ok(())
    }

    fn label(&mut self, pairs: &KeyValues) -> Result<(), Diagnostic> {
        let mut line = "LABEL".to_owned();
        for (name, value) in self.expand_pairs(pairs)? {
            line.push_str(&format!(" {name}={value}"));
            self.config.config.labels.insert(name, value);
        }
        self.remember(line);
        Ok(())
    }

    fn expand_pairs(&self, pairs: &KeyValues) -> Result<Vec<(String, String)>, Diagnostic> {
        let expand = |word: &Word| self.expand(word);
        let pairs = pairs.pairs.iter();
        pairs.map(|pair| Ok((expand(&pair.key)?, expand(&pair.value)?))).collect()
    }

    fn expose(&mut self, expose: &Expose) -> Result<(), Diagnostic> {
        let mut all = Vec::new();
        for spec in expose.sorted() {
            let lookup = |name: &str| self.env.get(name).map(ToOwned::to_owned);
            let words = Expander::new(self.escape).expand_words(&spec.value, &lookup);
            for word in words.map_err(|problem| error(problem.to_string(), spec.span))? {
                let ports = port::parse_spec(&word);
                all.extend(ports.map_err(|problem| {
                    let error = error(problem.to_string(), spec.span);
                    if !word.contains(',') {
                        return error;
                    }
                    error.with_help("a blank stands between ports: `EXPOSE 80 443`")
                })?);
            }
        }
        self.remember(format!("EXPOSE [{}]", all.join(" ")));
        let empty = || Value::Object(Map::new());
        self.config.config.exposed_ports.extend(all.into_iter().map(|port| (port, empty())));
        Ok(())
    }

    fn healthcheck(&mut self, check: &Healthcheck) {
        let config = match check {
            Healthcheck::None => {
                HealthcheckConfig { test: vec!["NONE".to_owned()], ..HealthcheckConfig::default() }
            }
            Healthcheck::Cmd(check) => healthcheck_config(check),
        };
        self.remember(format!(
            "HEALTHCHECK {{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
            config.test.join(" "),
            duration(config.interval),
            duration(config.timeout),
            duration(config.start_period),
            duration(config.start_interval),
            config.retries,
        ));
        self.config.config.healthcheck = Some(config);
    }

    fn stopsignal(&mut self, stopsignal: &Stopsignal) -> Result<(), Diagnostic> {
        let name = self.expand(&stopsignal.signal)?;
        signal::validate(&name)
            .map_err(|problem| error(problem.to_string(), stopsignal.signal.span))?;
        self.remember(format!("STOPSIGNAL {name}"));
        self.config.config.stop_signal = name;
        Ok(())
    }

    fn user(&mut self, user: &User) -> Result<(), Diagnostic> {
        let name = self.expand(&user.user)?;
        self.remember(format!("USER {name}"));
        self.config.config.user = name;
        Ok(())
    }

    fn volume(&mut self, volume: &Volume) -> Result<(), Diagnostic> {
        let mut paths = Vec::new();
        for word in &volume.paths {
            let path = self.expand(word)?;
            if path.is_empty() {
                return Err(error("VOLUME specified can not be an empty string", word.span));
            }
            paths.push(path);
        }
        self.remember(format!("VOLUME [{}]", paths.join(" ")));
        let empty = || Value::Object(Map::new());
        self.config.config.volumes.extend(paths.into_iter().map(|path| (path, empty())));
        Ok(())
    }

    fn workdir(&mut self, workdir: &Workdir, instruction: &Instruction) -> Result<(), Diagnostic> {
        let written = self.expand(&workdir.path)?;
        let path = absolute(&self.cwd(), &written);
        // BuildKit cleans only what it joins (`system.NormalizeWorkdir`).
        let shown = if written.starts_with('/') { written } else { path.clone() };
        let line = format!("WORKDIR {shown}");
        self.config.config.working_dir = shown;
        if path == "/" {
            self.remember(line);
        } else {
            let step = WorkdirStep { path, user: self.config.config.user.clone() };
            self.push(&Place::of(instruction), StepKind::Workdir(step), line);
        }
        Ok(())
    }
}

fn healthcheck_config(check: &HealthcheckCommand) -> HealthcheckConfig {
    let test = match &check.command {
        Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.value.text().into_owned()],
        Command::Exec(words) => {
            let words = words.iter().map(|word| word.value.to_string());
            std::iter::once("CMD".to_owned()).chain(words).collect()
        }
    };
    HealthcheckConfig {
        test,
        interval: check.interval.unwrap_or(0),
        timeout: check.timeout.unwrap_or(0),
        start_period: check.start_period.unwrap_or(0),
        start_interval: check.start_interval.unwrap_or(0),
        retries: i64::from(check.retries.unwrap_or(0)),
    }
}
