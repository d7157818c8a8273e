use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::ffi::OsString;
use std::io::{Cursor, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::{fs, io, thread};

use dfbuild::{Base, Build, Built, Cancel, Engine, Error, Loaded, SnapshotterChoice};

use super::command_line;
use super::files::Files;
use super::images::Images;
use super::joined::Joined;
use super::order::{Needs, circle};
use crate::args::{BuildArgs, Cli, Command, ComposeArgs};
use crate::build::fail;
use crate::colour::{is_dumb, wants_colour};
use crate::failure::Failure;
use crate::findings::Findings;
use crate::progress::{Mode, Progress};
use crate::request::{Machine, Request, RequestError};
use crate::signals::{self, Asked, Ended};
use crate::source::Source;
use crate::summary::Summary;
use crate::{daemon, engine, report};

/// Builds services, each after those whose images it needs.
pub(super) fn build(
    args: &ComposeArgs,
    files: &Files,
    (wanted, notices): (BTreeSet<String>, &[String]),
    root: PathBuf,
    debug: bool,
) -> ExitCode {
    let opened = engine::open(root, SnapshotterChoice::Auto);
    let mode = Mode::resolve(args.transfer.progress, args.transfer.quiet, is_dumb());
    let progress = Arc::new(Progress::new(mode, wants_colour()));
    let engine = match engine::connect(opened, &args.registries, &progress) {
        Ok(engine) => engine,
        Err(code) => return code,
    };
    for notice in notices {
        progress.note(notice);
    }
    let cancel = Cancel::new();
    let told = Arc::clone(&progress);
    let on_signal = move |asked| match asked {
        Asked::End => told.try_note("cancelling the builds; once more to end them at once"),
        Asked::EndAtOnce => told.try_close(),
    };
    let ended = match signals::watch(cancel.clone(), on_signal) {
        Ok(ended) => ended,
        Err(error) => return report::error(&format!("watch for signals: {error}")),
    };
    let run = Run { args, files, engine: &engine, progress: &progress, mode, cancel, ended, debug };
    let services = match run.services(wanted) {
        Ok(services) => services,
        Err(error) => return refused(&error, &progress, mode),
    };
    if args.check { run.check(&services) } else { run.all(services) }
}

/// Says why nothing is built.
fn refused(error: &RequestError, progress: &Progress, mode: Mode) -> ExitCode {
    let (text, code) = match error {
        RequestError::Usage(text) => (text, ExitCode::from(report::USAGE)),
        RequestError::Input(text) => (text, ExitCode::FAILURE),
    };
    progress.failed(&Failure { message: text.clone(), ..Failure::default() });
    if mode != Mode::Rawjson {
        let _ = report::error(text);
    }
    code
}

/// What the builds of a run have in common.
struct Run<'a> {
    args: &'a ComposeArgs,
    files: &'a Files,
    engine: &'a Engine,
    progress: &'a Arc<Progress>,
    mode: Mode,
    cancel: Cancel,
    ended: Ended,
    debug: bool,
}

/// A service that is to be built.
struct Target<'e> {
    loaded: Loaded<'e>,
    source: Source,
    needs: BTreeSet<String>,
    args: Box<BuildArgs>,
    findings: Findings,
}

/// How far the services are.
#[derive(Default)]
struct State {
    running: usize,
    built: BTreeMap<String, Built>,
    findings: BTreeMap<String, Findings>,
    /// Those that failed, the first one first.
    failed: Vec<String>,
    cancelled: Vec<String>,
    not_begun: Vec<String>,
}

impl State {
    /// Whether nothing more is to begin.
    fn is_over(&self) -> bool {
        !(self.failed.is_empty() && self.cancelled.is_empty())
    }

    /// What became of those that were not built.
    fn told(&self) -> String {
        let which = if self.failed.len() == 1 { "service" } else { "services" };
        let mut told = format!("{which} {} could not be built", self.failed.join(", "));
        for (what, names) in [("cancelled", &self.cancelled), ("not begun", &self.not_begun)] {
            if !names.is_empty() {
                told.push_str(&format!("; {what}: {}", names.join(", ")));
            }
        }
        told
    }
}

impl<'a> Run<'a> {
    /// Reads the Dockerfiles of services, and of those whose images they begin with.
    fn services(
        &self,
        wanted: BTreeSet<String>,
    ) -> Result<BTreeMap<String, Target<'a>>, RequestError> {
        let images = Images::of(&self.files.project);
        let mut rest: Vec<String> = wanted.into_iter().collect();
        let mut targets: BTreeMap<String, Target<'a>> = BTreeMap::new();
        while let Some(name) = rest.pop() {
            if targets.contains_key(&name) {
                continue;
            }
            let (loaded, args) = self.load(&name)?;
            let images_of_file = loaded.images();
            let begins_with = images_of_file.iter().filter_map(|image| images.service(image));
            // A service that is built from what its own image was is no circle.
            let needs = begins_with.filter(|needed| *needed != name).map(str::to_owned);
            let needs: BTreeSet<String> = needs.chain(self.contexts(&name)).collect();
            rest.extend(needs.iter().cloned());
            let source = Source::of(&loaded);
            let file =
                command_line::default_dockerfile(&self.files.project.services[&name], self.files);
            let file = file.unwrap_or_else(|| source.name.clone());
            let findings = Findings::of(&args, &source);
            if let Some(violation) = findings.violation.as_ref().filter(|_| !self.args.check) {
                return Err(violated(&name, violation));
            }
            let source = source.of_service(&name, &file);
            targets.insert(name, Target { loaded, source, needs, args, findings });
        }
        let needs: Needs =
            targets.iter().map(|(name, target)| (name.clone(), target.needs.clone())).collect();
        match circle(&needs) {
            Some(circle) => Err(RequestError::Input(format!(
                "services need each other's images: {}",
                circle.join(" needs ")
            ))),
            None => Ok(targets),
        }
    }

    /// The services whose images a service has for contexts.
    fn contexts(&self, name: &str) -> impl Iterator<Item = String> {
        let services = &self.files.project.services;
        let contexts = services[name].build.iter().flat_map(|build| &build.additional_contexts);
        let named = contexts.filter_map(|(_, value)| value.strip_prefix("service:"));
        named
            .filter(|name| services.get(*name).is_some_and(|other| other.build.is_some()))
            .map(str::to_owned)
    }

    fn load(&self, name: &str) -> Result<(Loaded<'a>, Box<BuildArgs>), RequestError> {
        let of_service = |text| format!("service {name}: {text}");
        let (build, args) = self.request(name).map_err(|error| error.map(of_service))?;
        let loaded = build.load(self.engine, &**self.progress, &self.cancel).map_err(|error| {
            let chain = dfbuild::with_causes(&error);
            RequestError::Input(format!("service {name}: failed to build: {chain}"))
        });
        Ok((loaded?, args))
    }

    /// The build of a service.
    fn request(&self, name: &str) -> Result<(Build, Box<BuildArgs>), RequestError> {
        let line = command_line::of(&self.files.project.services[name], self.files, self.args);
        let words = std::iter::once("dfbuild").chain(line.arguments.iter().map(String::as_str));
        let cli = Cli::read(words.map(OsString::from)).map_err(|error| {
            // What is wrong with a value: its flag is no word of the compose file.
            let reason = error.source().map(ToString::to_string);
            RequestError::Usage(reason.unwrap_or_else(|| error.to_string()))
        })?;
        let Command::Build(args) = cli.command else { unreachable!("it begins with `build`") };
        let dockerfile = line.dockerfile.unwrap_or_default().into_bytes();
        let mut machine = Machine {
            environment: &|name| self.files.variable(name),
            standard_input: Some(Box::new(Cursor::new(dockerfile)) as Box<dyn Read + Send>),
            resolv_conf: fs::read("/etc/resolv.conf").ok(),
            stdout_is_terminal: io::stdout().is_terminal(),
        };
        let request = Request::new(&args, &mut machine)?;
        for notice in &request.notices {
            self.progress.note(&format!("{name}: {notice}"));
        }
        let ignored =
            self.files.project.services[name].build.iter().flat_map(|build| &build.ignored);
        for (place, what) in ignored {
            self.progress.note(&format!("{place}: {what} does not count here"));
        }
        let build = request.build;
        Ok((build, args))
    }

    /// Tells what the linter says, and builds nothing.
    fn check(&self, targets: &BTreeMap<String, Target<'a>>) -> ExitCode {
        self.progress.close();
        for (name, target) in targets {
            target.findings.show(Mode::Plain, Some(name));
        }
        let is_good = targets.values().all(|target| target.findings.is_empty());
        if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Builds all, as many at a time as there are processors.
    fn all(&self, targets: BTreeMap<String, Target<'a>>) -> ExitCode {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let most = self.args.jobs.map_or_else(processors, usize::from);
        let joined = Joined::new(self.progress);
        let (state, changed) = (Mutex::new(State::default()), Condvar::new());
        let failure = Mutex::new(None);
        thread::scope(|scope| {
            for (name, target) in targets {
                let (state, changed, joined, failure) = (&state, &changed, &joined, &failure);
                scope.spawn(move || {
                    let ready = |state: &State| {
                        let built = |needed: &String| state.built.contains_key(needed);
                        state.is_over() || state.running < most && target.needs.iter().all(built)
                    };
                    let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
                    while !ready(&locked) {
                        locked = changed.wait(locked).unwrap_or_else(PoisonError::into_inner);
                    }
                    if locked.is_over() {
                        locked.not_begun.push(name);
                        return;
                    }
                    locked.running += 1;
                    drop(locked);
                    let findings = Mutex::new(target.findings);
                    let lint_again = |bases: &[Base]| {
                        let found = Findings::above(bases, &target.args, &target.source);
                        if found.violation.is_some() {
                            self.cancel.cancel();
                        }
                        *findings.lock().unwrap_or_else(PoisonError::into_inner) = found;
                    };
                    let member = joined.member(&name, &target.source, &lint_again);
                    let outcome = target.loaded.run(&member);
                    let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
                    locked.running -= 1;
                    let mut found = findings.lock().unwrap_or_else(PoisonError::into_inner);
                    locked.findings.insert(name.clone(), std::mem::take(&mut found));
                    match outcome {
                        Ok(built) => drop(locked.built.insert(name, built)),
                        Err(error) => {
                            let is_first = !locked.is_over();
                            match error {
                                Error::Cancelled => locked.cancelled.push(name.clone()),
                                _ => locked.failed.push(name.clone()),
                            }
                            if is_first {
                                let error = member.error(error);
                                let mut failure =
                                    failure.lock().unwrap_or_else(PoisonError::into_inner);
                                *failure = Some((error, target.source.clone()));
                            }
                            // The others would build for nothing.
                            self.cancel.cancel();
                        }
                    }
                    changed.notify_all();
                });
            }
        });
        let mut state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.not_begun.sort();
        let violations =
            state.findings.iter().filter_map(|(name, it)| Some((name, it.violation.as_ref()?)));
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((error, source)) => match violations.into_iter().next() {
                Some((name, violation)) if matches!(error, Error::Cancelled) => {
                    self.progress.close();
                    refused(&violated(name, violation), self.progress, self.mode)
                }
                _ => self.failed(&state, &error, &source),
            },
            None => self.built(&state.built, &state.findings),
        }
    }

    fn failed(&self, state: &State, error: &Error, source: &Source) -> ExitCode {
        // What is told now belongs to no step that was open.
        self.progress.close();
        if self.debug {
            self.progress.note(&format!("{error:?}"));
        }
        if !matches!(error, Error::Cancelled) {
            self.progress.note(&state.told());
        }
        fail(error, source, self.progress, self.mode, &self.ended)
    }

    fn built(
        &self,
        all: &BTreeMap<String, Built>,
        findings: &BTreeMap<String, Findings>,
    ) -> ExitCode {
        for built in all.values() {
            let summary = Summary::from(built);
            self.progress.built(&summary);
            if self.mode == Mode::Quiet
                && writeln!(io::stdout().lock(), "{}", summary.image_id).is_err()
            {
                return ExitCode::FAILURE;
            }
        }
        if self.args.load {
            let tags: Vec<_> = all.values().flat_map(|built| built.tags.iter().cloned()).collect();
            match daemon::load(self.engine, &tags) {
                Ok(text) => self.progress.note(&text),
                Err(failure) => return report::failure(&failure),
            }
        }
        for (name, findings) in findings {
            findings.show(self.mode, Some(name));
        }
        ExitCode::SUCCESS
    }
}

/// Why a service is not built although it could be.
fn violated(service: &str, violation: &str) -> RequestError {
    let text = format!("service {service}: failed to build: failed to solve: {violation}");
    RequestError::Input(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_services() {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let told = |failed, cancelled, not_begun| {
            let (failed, cancelled) = (names(failed), names(cancelled));
            State { failed, cancelled, not_begun: names(not_begun), ..State::default() }.told()
        };
        assert_eq!(told("b", "", ""), "service b could not be built");
        assert_eq!(
            told("c b", "a", "d e"),
            "services c, b could not be built; cancelled: a; not begun: d, e"
        );
    }
}
