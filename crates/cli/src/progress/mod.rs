//! Showing a build while it runs. All of it goes to standard error.

mod bars;
mod captures;
mod classic;
mod grouped;
mod json;
mod lines;
mod plain;
mod transfer;
mod tty;
mod turns;
mod view;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dfbuild::{Bust, Event, Observer, StepId, StepResult};

use crate::args::ProgressArg;
use crate::colour::{is_dumb, wants_colour};
use crate::failure::Failure;
use crate::source::Source;
use crate::step::Step;
use crate::summary::Summary;
pub(crate) use captures::Capture;
use captures::Captures;
pub(crate) use grouped::Forge;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    /// `Plain` for a log whose parts can be folded.
    Grouped(Forge),
    Classic,
    Tty,
    Quiet,
    Rawjson,
}

impl Mode {
    /// What the flags and the terminal come to. A live view needs a terminal that can move its
    /// cursor, so `tty` without one is `plain`.
    pub(crate) fn resolve(asked: ProgressArg, quiet: bool, dumb: bool) -> Self {
        let terminal = !dumb && io::stderr().is_terminal();
        match asked {
            _ if quiet => Self::Quiet,
            ProgressArg::Quiet => Self::Quiet,
            ProgressArg::Rawjson => Self::Rawjson,
            ProgressArg::Classic => Self::Classic,
            ProgressArg::Auto | ProgressArg::Tty if terminal => Self::Tty,
            ProgressArg::Auto => match Forge::detect(&|name| std::env::var(name).ok()) {
                Some(forge) => Self::Grouped(forge),
                None => Self::Plain,
            },
            ProgressArg::Tty | ProgressArg::Plain => Self::Plain,
        }
    }

    /// Whether the output of a failed step was on the screen already.
    pub(crate) fn shows_output(self) -> bool {
        matches!(self, Self::Plain | Self::Grouped(_) | Self::Classic | Self::Rawjson)
    }
}

/// Hears a build and shows it.
pub(crate) struct Progress {
    start: Instant,
    state: Mutex<State>,
}

struct State {
    renderer: Box<dyn Renderer + Send>,
    captures: Captures,
    /// The file that goes to standard output in the end, which is no name for people.
    piped: Option<String>,
}

impl State {
    /// A task in words for people.
    fn named(&self, what: &str) -> Option<String> {
        let path = self.piped.as_deref().filter(|path| what.contains(*path))?;
        Some(what.replace(path, "to standard output"))
    }
}

/// One way to show a build. Times count from the start of the build.
trait Renderer {
    /// The Dockerfile was read.
    fn source(&mut self, source: Source);
    /// The steps are known.
    fn planned(&mut self, steps: Vec<Step>, at: Duration);
    /// Anything else happened.
    fn event(&mut self, event: &Event, at: Duration);
    /// A line from the command itself.
    fn note(&mut self, text: &str, at: Duration);
    /// There is an image.
    fn built(&mut self, summary: &Summary);
    /// There is none.
    fn failed(&mut self, failure: &Failure, at: Duration);
    /// Leaves the terminal as it was. May be called twice.
    fn close(&mut self);
}

impl Progress {
    /// Shows a build as `mode` says.
    pub(crate) fn new(mode: Mode, colour: bool) -> Self {
        let source = Source::default();
        let renderer: Box<dyn Renderer + Send> = match mode {
            Mode::Plain => Box::new(plain::Plain::new(io::stderr(), source, colour)),
            Mode::Grouped(forge) => {
                Box::new(grouped::Grouped::new(forge, io::stderr(), source, colour))
            }
            Mode::Classic => Box::new(classic::Classic::new(io::stdout(), io::stderr())),
            Mode::Rawjson => Box::new(json::Json::new(io::stderr(), source)),
            Mode::Tty => Box::new(tty::Tty::new(source, colour)),
            Mode::Quiet => Box::new(Quiet),
        };
        let state = State { renderer, captures: Captures::default(), piped: None };
        Self { start: Instant::now(), state: Mutex::new(state) }
    }

    /// Shows how far something is on a terminal, and nothing elsewhere.
    pub(crate) fn bars() -> Self {
        let terminal = !is_dumb() && io::stderr().is_terminal();
        Self::new(if terminal { Mode::Tty } else { Mode::Quiet }, wants_colour())
    }

    /// The Dockerfile that is built, in which messages have their places.
    pub(crate) fn read(&self, source: Source) {
        self.lock().renderer.source(source);
    }

    /// Calls a file what it stands for, standard output.
    pub(crate) fn pipes(&self, file: &Path) {
        self.lock().piped = Some(file.display().to_string());
    }

    /// Shows a line from the command itself.
    pub(crate) fn note(&self, text: &str) {
        self.lock().renderer.note(text, self.start.elapsed());
    }

    /// Shows a line unless somebody is writing this moment: they may be waiting for a reader that
    /// does not come, and the signal watcher has to go on.
    pub(crate) fn try_note(&self, text: &str) {
        if let Ok(mut state) = self.state.try_lock() {
            state.renderer.note(text, self.start.elapsed());
        }
    }

    /// Shows the result.
    pub(crate) fn built(&self, summary: &Summary) {
        let mut state = self.lock();
        state.renderer.close();
        state.renderer.built(summary);
    }

    /// Shows the failure where the way of showing has words of its own for it.
    pub(crate) fn failed(&self, failure: &Failure) {
        let mut state = self.lock();
        state.renderer.close();
        state.renderer.failed(failure, self.start.elapsed());
    }

    /// Leaves the terminal as it was: there is nothing more to show.
    pub(crate) fn close(&self) {
        self.lock().renderer.close();
    }

    /// All that a step wrote.
    pub(crate) fn take_output(&self, step: StepId) -> Capture {
        self.lock().captures.take(step)
    }

    /// Leaves the terminal as it was, unless somebody is writing to it this moment: for the way out
    /// in a hurry.
    pub(crate) fn try_close(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.renderer.close();
        }
    }

    /// A renderer that panicked is not worth losing the build for.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event) {
        let mut state = self.lock();
        let at = self.start.elapsed();
        match event {
            Event::Output { step, bytes, .. } => state.captures.add(*step, bytes),
            Event::Finished { step, result: StepResult::Ran { .. } } => {
                state.captures.forget(*step);
            }
            _ => {}
        }
        match event {
            Event::Planned { steps } => {
                state.renderer.planned(steps.iter().map(Step::from).collect(), at);
            }
            Event::TaskStarted { what } => {
                let what = state.named(what).unwrap_or_else(|| what.clone());
                state.renderer.event(&Event::TaskStarted { what }, at);
            }
            Event::TaskProgress { what, done, size } => {
                let what = state.named(what).unwrap_or_else(|| what.clone());
                let (done, size) = (*done, *size);
                state.renderer.event(&Event::TaskProgress { what, done, size }, at);
            }
            Event::TaskFinished { what, duration } => {
                let what = state.named(what).unwrap_or_else(|| what.clone());
                state.renderer.event(&Event::TaskFinished { what, duration: *duration }, at);
            }
            _ => state.renderer.event(event, at),
        }
    }
}

/// Whether a cause is news: that a step ran for which it was changed is none.
fn is_worth_telling(bust: &Bust) -> bool {
    bust.steps > 1 || bust.first_use.is_some()
}

/// Shows nothing.
struct Quiet;

impl Renderer for Quiet {
    fn source(&mut self, _: Source) {}
    fn planned(&mut self, _: Vec<Step>, _: Duration) {}
    fn event(&mut self, _: &Event, _: Duration) {}
    fn note(&mut self, _: &str, _: Duration) {}
    fn built(&mut self, _: &Summary) {}
    fn failed(&mut self, _: &Failure, _: Duration) {}
    fn close(&mut self) {}
}
