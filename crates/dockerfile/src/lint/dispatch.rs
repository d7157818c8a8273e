//! The instructions of one stage: expansion, and the rules that look at its outcome.

use std::collections::BTreeSet;

use super::convert::{Converter, Failed, Origin, Scope};
use super::copy::clean;
use super::env::Env;
use super::expanded::quoted;
use super::linter::{Linter, Place};
use super::rule::{
    JSON_ARGS_RECOMMENDED, LEGACY_KEY_VALUE_FORMAT, MULTIPLE_INSTRUCTIONS_DISALLOWED,
    UNDEFINED_VAR, WORKDIR_RELATIVE_PATH,
};
use super::{copy, expose, secrets};
use crate::ast::{
    Add, Arg, ArgDeclaration, Command, Copy, Expose, Instruction, InstructionKind, KeyValues,
    MountKind, Run, Source, Stage, Workdir,
};
use crate::chmod::Chmod;
use crate::diagnostic::Diagnostic;
use crate::expand::Expander;
use crate::quote::quote;
use crate::span::Word;
use crate::{git_ref, parse_trigger, port, signal, suggest};

/// Converts the instructions of a stage, the triggers of its base first.
pub(super) fn stage(
    converter: &Converter,
    linter: &mut Linter,
    stage: Stage,
    triggers: &[String],
    scope: &mut Scope,
) -> Result<(), Failed> {
    let mut dispatcher =
        Dispatcher { converter, linter, scope, cmd: None, entrypoint: None, healthcheck: None };
    let read: Vec<_> = triggers.iter().map(|it| parse_trigger(it)).collect();
    for (instruction, diagnostics) in &read {
        if let Some(error) = diagnostics.iter().find(|it| it.is_error()) {
            return Err(Failed::at(stage.header, Diagnostic::full_text(error)));
        }
        if let Some(instruction) = instruction {
            let place = Place::of_trigger(stage);
            dispatcher
                .instruction(instruction, place)
                .map_err(|message| Failed::at(stage.header, message))?;
        }
    }
    for instruction in stage.instructions {
        dispatcher
            .instruction(instruction, Place::of(instruction))
            .map_err(|message| Failed::at(instruction, message))?;
    }
    Ok(())
}

struct Dispatcher<'a, 'l, 's> {
    converter: &'a Converter<'a>,
    linter: &'a mut Linter<'l>,
    scope: &'a mut Scope,
    /// Where these stood last in the stage.
    cmd: Option<Place<'s>>,
    entrypoint: Option<Place<'s>>,
    healthcheck: Option<Place<'s>>,
}

impl<'s> Dispatcher<'_, '_, 's> {
    fn instruction(&mut self, instruction: &Instruction, place: Place<'s>) -> Result<(), String> {
        let keyword = &*instruction.keyword_text();
        // Those of a trigger stand in no file.
        if !place.is_trigger {
            self.record(instruction);
        }
        match &instruction.kind {
            InstructionKind::Add(add) => self.add(add, place)?,
            InstructionKind::Arg(arg) => self.arg(arg, place)?,
            InstructionKind::Cmd(command) => {
                let before = self.cmd.replace(place);
                self.used_once(before, keyword);
                self.json_arguments(command, place, keyword);
            }
            InstructionKind::Copy(copy) => self.copy(copy, place)?,
            InstructionKind::Entrypoint(command) => {
                let before = self.entrypoint.replace(place);
                self.used_once(before, keyword);
                self.json_arguments(command, place, keyword);
            }
            InstructionKind::Env(pairs) => self.env(pairs, place, keyword)?,
            InstructionKind::Expose(expose) => self.expose(expose, place)?,
            InstructionKind::Healthcheck(_) => {
                let before = self.healthcheck.replace(place);
                self.used_once(before, keyword);
            }
            InstructionKind::Label(pairs) => {
                self.pairs(pairs, place)?;
                self.legacy(pairs, place, keyword);
            }
            InstructionKind::Run(run) => self.run(run, place)?,
            InstructionKind::Shell(_) => self.scope.shell = true,
            InstructionKind::Stopsignal(stopsignal) => {
                let name = self.expand(&stopsignal.signal.value, place)?;
                signal::validate(&name).map_err(|error| error.to_string())?;
            }
            InstructionKind::User(user) => {
                self.expand(&user.user.value, place)?;
            }
            InstructionKind::Volume(volume) => {
                let paths: Result<Vec<_>, _> =
                    volume.paths.iter().map(|path| self.expand(&path.value, place)).collect();
                if paths?.iter().any(String::is_empty) {
                    return Err("VOLUME specified can not be an empty string".to_owned());
                }
            }
            InstructionKind::Workdir(workdir) => self.workdir(workdir, place)?,
            InstructionKind::From(_)
            | InstructionKind::Maintainer(_)
            | InstructionKind::Onbuild(_) => {}
        }
        Ok(())
    }

    /// Notes an instruction with the variables before it; `ARG` sees its own.
    fn record(&mut self, instruction: &Instruction) {
        if !self.linter.is_recording() {
            return;
        }
        let expander = self.converter.expander;
        if let InstructionKind::Arg(arg) = &instruction.kind {
            let mut env = self.scope.env.clone();
            let words = arg.declarations.iter().map(|it| self.effective(&mut env, it));
            let words: Vec<String> = words.collect();
            self.linter.record_text(
                instruction,
                format!("{} {}", instruction.keyword_text(), words.join(" ")),
            );
            return;
        }
        let split = matches!(instruction.kind, InstructionKind::Expose(_));
        let env = &self.scope.env;
        let mut expand = |word: &str| {
            if split {
                let lookup = |name: &str| env.get(name).map(str::to_owned);
                return Some(expander.expand_words(word, &lookup).ok()?.join(" "));
            }
            env.expand(expander, word).value.ok()
        };
        self.linter.record(instruction, &mut expand);
    }

    /// A declaration with the value that counts.
    fn effective(&self, env: &mut Env, declaration: &ArgDeclaration) -> String {
        let name = declaration.name.as_str();
        let given = self.converter.options.build_args.get(name).cloned();
        let default = || {
            let word = declaration.value.as_ref()?;
            env.expand(self.converter.expander, &word.value).value.ok()
        };
        let global = || self.converter.globals.env.get(name).map(str::to_owned);
        let value = given.or_else(default).or_else(global);
        match value {
            Some(value) => {
                let text = format!("{name}={}", quoted(&value));
                env.set(name, value);
                text
            }
            None => name.to_owned(),
        }
    }

    /// Expands a word, and reports the variables in it that are not set.
    fn expand(&mut self, word: &str, place: Place) -> Result<String, String> {
        self.expand_with(self.converter.expander, word, place)
    }

    fn expand_with(
        &mut self,
        expander: Expander,
        word: &str,
        place: Place,
    ) -> Result<String, String> {
        let found = self.scope.env.expand(expander, word);
        self.undefined(&found.unmatched, place);
        found.value.map_err(|error| error.to_string())
    }

    /// Whether a word has a variable that the base may set, as nobody knows.
    fn may_be_set_below(&self, word: &str) -> bool {
        self.scope.unknown_base
            && self.converter.options.unknown_bases_set_variables
            && !self.scope.env.expand(self.converter.expander, word).unmatched.is_empty()
    }

    /// `UndefinedVar`.
    fn undefined(&mut self, unmatched: &BTreeSet<String>, place: Place) {
        /// These are arguments, but no variables.
        const NO_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];
        let options = self.converter.options;
        if self.scope.unknown_base && options.unknown_bases_set_variables {
            return;
        }
        for name in unmatched {
            if self.scope.arguments.get(name).is_some() || NO_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let closest = if self.linter.may_compare(self.scope.env.len()) {
                suggest::closest(name, self.scope.env.names())
            } else {
                None
            };
            let meant = closest.map_or(String::new(), |it| format!(" (did you mean ${it}?)"));
            let detail = format!("Usage of undefined variable '${name}'{meant}");
            let help = "the base image may define it: it is not known here".to_owned();
            let help = if self.scope.unknown_base { Some(help) } else { None };
            self.linter.warn_with_help(&UNDEFINED_VAR, place, detail, help);
        }
    }

    /// `MultipleInstructionsDisallowed`, at the one that has no effect.
    fn used_once(&mut self, before: Option<Place>, keyword: &str) {
        let Some(place) = before else { return };
        let detail = format!(
            "Multiple {keyword} instructions should not be used in the same stage because only the last one will be used"
        );
        self.linter.warn(&MULTIPLE_INSTRUCTIONS_DISALLOWED, place, detail);
    }

    /// `JSONArgsRecommended`.
    fn json_arguments(&mut self, command: &Command, place: Place, keyword: &str) {
        if matches!(command, Command::Shell(_)) && !self.scope.shell {
            let detail = format!(
                "JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals"
            );
            self.linter.warn(&JSON_ARGS_RECOMMENDED, place, detail);
        }
    }

    /// `LegacyKeyValueFormat`.
    fn legacy(&mut self, pairs: &KeyValues, place: Place, keyword: &str) {
        if pairs.legacy {
            let detail = format!(
                "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
            );
            self.linter.warn(&LEGACY_KEY_VALUE_FORMAT, place, detail);
        }
    }

    fn pairs(&mut self, pairs: &KeyValues, place: Place) -> Result<Vec<(String, String)>, String> {
        let expand = |pair: &crate::ast::KeyValue| {
            Ok((self.expand(&pair.key.value, place)?, self.expand(&pair.value.value, place)?))
        };
        pairs.pairs.iter().map(expand).collect()
    }

    fn env(&mut self, pairs: &KeyValues, place: Place, keyword: &str) -> Result<(), String> {
        let expanded = self.pairs(pairs, place)?;
        self.legacy(pairs, place, keyword);
        for (name, value) in expanded {
            secrets::check(self.linter, place, "ENV", &name);
            self.scope.env.set_in_image(&name, &value);
        }
        Ok(())
    }

    fn arg(&mut self, arg: &Arg, place: Place) -> Result<(), String> {
        for declaration in &arg.declarations {
            let name = declaration.name.as_str();
            secrets::check(self.linter, place, "ARG", name);
            let given = self.converter.options.build_args.get(name).cloned();
            let value = match (given, &declaration.value) {
                (Some(value), _) => Some(value),
                (None, Some(word)) => Some(self.expand(&word.value, place)?),
                (None, None) => self.converter.globals.env.get(name).map(str::to_owned),
            };
            if let Some(value) = value {
                self.scope.env.set(name, value);
            }
            self.scope.arguments.insert(name, ());
        }
        Ok(())
    }

    fn expose(&mut self, expose: &Expose, place: Place) -> Result<(), String> {
        let mut specs = Vec::new();
        for word in expose.sorted() {
            let lookup = |name: &str| self.scope.env.get(name).map(str::to_owned);
            let words = self.converter.expander.expand_words(&word.value, &lookup);
            specs.extend(words.map_err(|error| error.to_string())?);
        }
        for spec in specs {
            expose::check(self.linter, place, &spec);
            port::parse_spec(&spec).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn workdir(&mut self, workdir: &Workdir, place: Place) -> Result<(), String> {
        let path = self.expand(&workdir.path.value, place)?;
        let unknown = self.may_be_set_below(&workdir.path.value);
        let windows = self.scope.platform.os == "windows";
        let path = if windows { without_drive(&path) } else { path };
        let absolute = path.starts_with('/');
        if !self.scope.workdir_set && !absolute && !unknown {
            let detail = format!(
                "Relative workdir {} can have unexpected results if the base image changes",
                quote(&path)
            );
            self.linter.warn(&WORKDIR_RELATIVE_PATH, place, detail);
        }
        self.scope.workdir_set = true;
        self.scope.working_dir = self.absolute(&path);
        Ok(())
    }

    /// A path from the working directory.
    fn absolute(&self, path: &str) -> String {
        let rooted = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}/{path}", self.scope.working_dir)
        };
        clean(&rooted)
    }

    fn run(&mut self, run: &Run, place: Place) -> Result<(), String> {
        for flag in run.mounts() {
            let mount = flag.resolve(&mut |value| self.expand(value, place));
            let mount = mount.map_err(|error| match error.suggestion {
                Some(meant) => format!("{} (did you mean {meant}?)", error.message),
                None => error.message,
            })?;
            let target = mount.target.unwrap_or_default();
            if let Some(from) = mount.from.filter(|it| !it.is_empty())
                && let Origin::Stage(stage) = self.converter.mount_origin(&from)
                && !self.converter.is_done(stage)
            {
                return Err(format!(
                    "cannot mount from stage {} to {}, stage needs to be defined before current command",
                    quote(&from),
                    quote(&target)
                ));
            }
            let in_tree =
                matches!(mount.kind, MountKind::Bind | MountKind::Cache | MountKind::Tmpfs);
            if in_tree && self.absolute(&target) == "/" {
                return Err("invalid mount target \"/\"".to_owned());
            }
        }
        Ok(())
    }

    fn copy(&mut self, copy: &Copy, place: Place) -> Result<(), String> {
        self.owner_and_mode(copy.chown().as_ref(), copy.chmod().as_ref(), place)?;
        let sources = self.sources(&copy.sources, &copy.dest, place)?;
        if let Some(from) = copy.from()
            && let Origin::Stage(stage) = self.converter.origin(&from.value)?
            && !self.converter.is_done(stage)
        {
            return Err(format!(
                "cannot copy from stage {}, it needs to be defined before current stage {}",
                quote(&from.value),
                quote(&self.scope.name)
            ));
        }
        for source in sources {
            if is_git(&source) {
                return Err("source can't be a git ref for COPY".to_owned());
            }
            if is_url(&source) {
                return Err("source can't be a URL for COPY".to_owned());
            }
            if copy.from().is_none() {
                let ignore = self.converter.options.ignore.as_ref();
                copy::check(self.linter, place, ignore, "Copy", &source);
            }
        }
        Ok(())
    }

    fn add(&mut self, add: &Add, place: Place) -> Result<(), String> {
        self.owner_and_mode(add.chown().as_ref(), add.chmod().as_ref(), place)?;
        if let Some(checksum) = add.checksum() {
            self.expand(&checksum.value, place)?;
        }
        let sources = self.sources(&add.sources, &add.dest, place)?;
        if add.checksum().is_some() && sources.len() != 1 {
            return Err("checksum can't be specified for multiple sources".to_owned());
        }
        if add.checksum().is_some() && sources.iter().any(|it| !is_git(it) && !is_url(it)) {
            return Err("checksum requires HTTP(S) or Git sources".to_owned());
        }
        for source in sources.iter().filter(|it| !is_git(it) && !is_url(it)) {
            let ignore = self.converter.options.ignore.as_ref();
            copy::check(self.linter, place, ignore, "Add", source);
        }
        Ok(())
    }

    fn owner_and_mode(
        &mut self,
        chown: Option<&Word>,
        chmod: Option<&Word>,
        place: Place,
    ) -> Result<(), String> {
        if let Some(chown) = chown {
            self.expand(&chown.value, place)?;
        }
        if let Some(chmod) = chmod {
            let mode = self.expand(&chmod.value, place)?;
            if !mode.is_empty() {
                mode.parse::<Chmod>().map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// The paths after expansion. The destination and the bodies of heredocs are looked at too.
    fn sources(
        &mut self,
        sources: &[Source],
        dest: &Word,
        place: Place,
    ) -> Result<Vec<String>, String> {
        let mut paths = Vec::new();
        for source in sources {
            if let Source::Path(path) = source {
                paths.push(self.expand(&path.value, place)?);
            }
        }
        self.expand(&dest.value, place)?;
        for source in sources {
            if let Source::Heredoc(heredoc) = source
                && heredoc.expand
            {
                self.expand_with(Expander::heredoc(), &heredoc.text(), place)?;
            }
        }
        Ok(paths)
    }
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

fn is_git(source: &str) -> bool {
    matches!(git_ref::parse(source), Ok(Some(git)) if !git.indistinguishable_from_local)
}

/// A path of Windows with `/` and without its drive.
fn without_drive(path: &str) -> String {
    let path = path.replace('\\', "/");
    match path.split_once(':') {
        Some((drive, rest)) if drive.len() == 1 => rest.to_owned(),
        _ => path,
    }
}
