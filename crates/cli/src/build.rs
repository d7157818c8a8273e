use std::io::{self, IsTerminal, StderrLock, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{env, fs};

use dfbuild::{Built, Cancel, Engine, Error, Event, LineIndex, Loaded, Observer, Run};

use crate::args::{BuildArgs, OnErrorArg};
use crate::colour::{is_dumb, wants_colour};
use crate::failure::{self, Failure};
use crate::findings::Findings;
use crate::ignore_file::is_seen;
use crate::progress::{Forge, Mode, Progress};
use crate::request::{Machine, Piped, Request, RequestError};
use crate::signals::{self, Asked, Ended};
use crate::source::Source;
use crate::standard_input::StandardInput;
use crate::step::Step;
use crate::summary::Summary;
use crate::timings::{Both, Timings};
use crate::{daemon, engine, excerpt, metadata, report, run_command, workflow};

/// Builds an image.
pub(crate) fn run(args: &BuildArgs, root: PathBuf, debug: bool) -> ExitCode {
    begin(args, root, debug, |loaded, begun| {
        let built = loaded.run(begun);
        begun.write_timings(args);
        let built = built?;
        let code = finish(args, begun, &built);
        begun.show_findings();
        Ok(code)
    })
}

/// A build that is about to run.
pub(crate) struct Begun<'e> {
    engine: &'e Engine,
    pub(crate) progress: Arc<Progress>,
    request: Request,
    mode: Mode,
    args: &'e BuildArgs,
    source: Source,
    cancel: Cancel,
    findings: Mutex<Findings>,
    timings: Option<&'static Timings>,
}

/// The build is shown, its times are noted if somebody wants them, and the Dockerfile is linted again when its
/// bases are known.
impl Observer for Begun<'_> {
    fn event(&self, event: &Event) {
        if let Event::BasesFound { bases } = event {
            let findings = Findings::above(bases, self.args, &self.source);
            if findings.violation.is_some() {
                self.cancel.cancel();
            }
            *self.findings() = findings;
        }
        Both { shown: &*self.progress, timings: self.timings }.event(event);
    }
}

impl Begun<'_> {
    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists what the linter found.
    pub(crate) fn show_findings(&self) {
        self.findings().show(self.mode, None);
    }

    /// Writes where the time went. A build is not lost for it.
    fn write_timings(&self, args: &BuildArgs) {
        let (Some(timings), Some(to)) = (self.timings, &args.timings) else { return };
        match timings.write(to) {
            Err(text) => self.progress.note(&text),
            Ok(None) => {}
            Ok(Some(page)) => {
                let page_name = page.display();
                self.progress.note(&format!("where the time went: {page_name}"));
                if is_seen(&page, &args.context, args.file.as_deref()) {
                    let text = "is in the context and not ignored: what copies it will run again";
                    self.progress.note(&format!("{page_name} {text}"));
                }
            }
        }
    }
}

/// Opens the store, gets what is to be built, and lets `work` go on. Its errors are told.
pub(crate) fn begin(
    args: &BuildArgs,
    root: PathBuf,
    debug: bool,
    work: impl FnOnce(Loaded<'_>, &Begun<'_>) -> Result<ExitCode, Error>,
) -> ExitCode {
    let cancel = Cancel::new();
    let request = match request(args, &cancel) {
        Ok(request) => request,
        Err(RequestError::Usage(text)) => return report::usage(&text),
        Err(RequestError::Input(text)) => return report::error(&text),
    };
    let opened = engine::open(root, args.snapshotter.into());
    let mode = Mode::resolve(args.progress, args.quiet, is_dumb());
    let progress = Arc::new(Progress::new(mode, wants_colour()));
    let limit = args.store_limit.unwrap_or_default();
    let connected = engine::connect(opened, &args.registries, &progress);
    let engine = match connected.map(|engine| engine.with_store_limit(limit)) {
        Ok(engine) if args.trust_archives => engine.trusting_archives(),
        Ok(engine) => engine,
        Err(code) => return code,
    };
    if let Some(piped) = &request.piped {
        progress.pipes(&piped.file);
    }
    for notice in &request.notices {
        progress.note(notice);
    }
    let timings = args.timings.as_ref().map(|_| Timings::begin());
    let observer = Both { shown: &*progress, timings };
    let told = Arc::clone(&progress);
    let on_signal = move |asked| match asked {
        Asked::End => told.try_note("cancelling the build; once more to end it at once"),
        Asked::EndAtOnce => told.try_close(),
    };
    let ended = match signals::watch(cancel.clone(), on_signal) {
        Ok(ended) => ended,
        Err(error) => return report::error(&format!("watch for signals: {error}")),
    };
    let failed = |error: &Error, source: &Source| {
        if debug {
            progress.note(&format!("{error:?}"));
        }
        fail(error, source, &progress, mode, &ended)
    };
    let loaded = match request.build.load(&engine, &observer, &cancel) {
        Ok(loaded) => loaded,
        Err(error) => {
            return failed(&error, &Source { folder: unnamed_folder(args), ..Source::default() });
        }
    };
    let source = Source { folder: unnamed_folder(args), ..Source::of(&loaded) };
    progress.read(source.clone());
    let findings = Findings::of(args, &source);
    if let Some(violation) = &findings.violation {
        return findings.refuse(violation, &progress, mode);
    }
    let progress = Arc::clone(&progress);
    let begun = Begun {
        engine: &engine,
        progress,
        request,
        mode,
        args,
        source: source.clone(),
        cancel: cancel.clone(),
        findings: Mutex::new(findings),
        timings,
    };
    work(loaded, &begun).unwrap_or_else(|error| {
        let findings = begun.findings();
        if let (Error::Cancelled, Some(violation)) = (&error, &findings.violation) {
            return findings.refuse(violation, &begun.progress, mode);
        }
        let code = failed(&error, &source);
        if args.on_error == OnErrorArg::Shell && failure::has_shell(&error) {
            run_command::shell_on_error(&engine, Run::failed_step_of(&begun.request.build));
        }
        code
    })
}

/// What is to be built. Reading a context from standard input ends with `cancel`.
pub(crate) fn request(args: &BuildArgs, cancel: &Cancel) -> Result<Request, RequestError> {
    Request::new(
        args,
        &mut Machine {
            environment: &|name| env::var(name).ok(),
            standard_input: Some(Box::new(StandardInput(cancel.clone()))),
            resolv_conf: fs::read("/etc/resolv.conf").ok(),
            stdout_is_terminal: io::stdout().is_terminal(),
        },
    )
}

fn finish(args: &BuildArgs, begun: &Begun<'_>, built: &Built) -> ExitCode {
    let Begun { progress, request, mode, .. } = begun;
    let summary = Summary::from(built);
    progress.built(&summary);
    if args.pushes() {
        // What a deployment pins; the identity of the image is that of its configuration.
        for tag in &built.tags {
            progress.note(&format!("pushed {}@{}", tag.familiar_name(), summary.digest));
        }
    }
    let written = write_results(args, built, &summary).and_then(|()| match &request.piped {
        Some(piped) => copy_to_stdout(piped),
        None if *mode == Mode::Quiet => print_id(&summary.image_id),
        None => Ok(()),
    });
    if let Err(text) = written {
        return report::error(&text);
    }
    if args.loads() {
        return match daemon::load(begun.engine, &built.tags) {
            Ok(text) => {
                progress.note(&text);
                ExitCode::SUCCESS
            }
            Err(failure) => report::failure(&failure),
        };
    }
    ExitCode::SUCCESS
}

/// Writes the files that scripts read.
fn write_results(args: &BuildArgs, built: &Built, summary: &Summary) -> Result<(), String> {
    let write = |path: &Path, text: &str| {
        fs::write(path, text).map_err(|error| format!("write {}: {error}", path.display()))
    };
    if let Some(path) = &args.iidfile {
        write(path, &summary.image_id)?;
    }
    if let Some(path) = &args.metadata_file {
        let digest = &summary.digest;
        let config = (built.platforms.len() == 1).then_some(summary.image_id.as_str());
        let value = metadata::of(config, digest, &built.descriptor, &summary.tags);
        write(path, &format!("{value:#}\n"))?;
    }
    Ok(())
}

fn copy_to_stdout(piped: &Piped) -> Result<(), String> {
    let copy = || {
        let mut file = fs::File::open(&piped.file)?;
        let mut stdout = io::stdout().lock();
        io::copy(&mut file, &mut stdout)?;
        stdout.flush()
    };
    copy().map_err(|error| format!("write to standard output: {error}"))
}

fn print_id(id: &str) -> Result<(), String> {
    writeln!(io::stdout().lock(), "{id}")
        .map_err(|error| format!("write to standard output: {error}"))
}

/// Shows why there is no image, and where. The exit code says whether somebody ended it.
pub(crate) fn fail(
    error: &Error,
    source: &Source,
    progress: &Progress,
    mode: Mode,
    ended: &Ended,
) -> ExitCode {
    let failure = match error {
        // The library's copy is the one that the places were found in.
        Error::Dockerfile { name, text, .. } => Failure::of(error, &of_error(source, name, text)),
        _ => Failure::of(error, source),
    };
    progress.failed(&failure);
    if mode != Mode::Rawjson {
        // Where nobody reads standard error the exit code still tells.
        let _ = write_failure(&failure, error, source, progress, mode);
    }
    let cancelled = matches!(error, Error::Cancelled);
    ended.exit_code().filter(|_| cancelled).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The folder of a Dockerfile that is not named.
fn unnamed_folder(args: &BuildArgs) -> Option<PathBuf> {
    let folder = args.context.strip_prefix(".").unwrap_or(&args.context);
    (args.file.is_none() && args.context.is_dir()).then(|| folder.to_owned())
}

/// The text that the places of an error were found in, under the name that is known here.
fn of_error(source: &Source, name: &str, text: &str) -> Source {
    let name = if source.name.is_empty() { name } else { &source.name };
    Source { name: name.to_owned(), text: text.to_owned(), ..source.clone() }
}

fn write_failure(
    failure: &Failure,
    error: &Error,
    source: &Source,
    progress: &Progress,
    mode: Mode,
) -> io::Result<()> {
    let mut out = io::stderr().lock();
    match error {
        Error::Dockerfile { name, text, .. } => {
            let source = of_error(source, name, text);
            return failure::write_dockerfile(&mut out, error, &source, wants_colour());
        }
        Error::Step { step, .. } => {
            let output = progress.take_output(step.id);
            let step = Step::from(&**step);
            let write = |out: &mut StderrLock<'_>| {
                failure::write_step(out, &step, output, mode.shows_output(), source)
            };
            match mode {
                Mode::Grouped(Forge::GitHub) => workflow::quoted(&mut out, write)?,
                _ => write(&mut out)?,
            }
        }
        Error::Image { line: Some(line), .. } => {
            out.write_all(
                excerpt::of(source, &LineIndex::new(&source.text), *line..=*line).as_bytes(),
            )?;
        }
        _ => {}
    }
    failure.write(&mut out)
}
