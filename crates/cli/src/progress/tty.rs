use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use console::{Style, Term};
use dfbuild::{DiagnosticKind, Event, PackingState, StepResult, Stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::transfer::Transfer;
use super::view::{SAID, View, WORD};
use super::{Renderer, is_worth_telling};
use crate::failure::Failure;
use crate::source::Source;
use crate::step::Step;
use crate::summary::Summary;
use crate::{diagnostics, reasons, units};

/// A live view at the bottom of the terminal; what is done scrolls by above it.
pub(super) struct Tty {
    bar: ProgressBar,
    view: Arc<Mutex<View>>,
    source: Source,
    colour: bool,
    ticker: Option<Ticker>,
}

/// The thread that draws. It ends when its channel does.
struct Ticker {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Tty {
    pub(super) fn new(source: Source, colour: bool) -> Self {
        // Buffered: a frame is one write, and the terminal never shows half of one.
        let target = ProgressDrawTarget::term(Term::buffered_stderr(), 20);
        let style = ProgressStyle::with_template("{msg}").expect("the template is well formed");
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        let view = Arc::new(Mutex::new(View::default()));
        let ticker = Ticker::start(bar.clone(), Arc::clone(&view), colour);
        Self { bar, view, source, colour, ticker: Some(ticker) }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        lock(&self.view)
    }
}

impl Ticker {
    fn start(bar: ProgressBar, view: Arc<Mutex<View>>, colour: bool) -> Self {
        const INTERVAL: Duration = Duration::from_millis(100);
        let start = Instant::now();
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let (height, width) = size();
                // What is done scrolls by in the rest.
                let lines = lock(&view).lines(start.elapsed(), width, (height * 2 / 3).max(4));
                let dim = Style::new().force_styling(true).dim();
                let shown = lines.into_iter().map(|line| {
                    let dims = colour && line.starts_with(SAID);
                    if dims { dim.apply_to(line).to_string() } else { line }
                });
                bar.set_message(shown.collect::<Vec<_>>().join("\n"));
            }
        });
        Self { stop, thread }
    }
}

/// The beginning of a line in a style, as wide as a time is.
fn painted(line: &str, width: usize, style: &Style) -> String {
    let (word, rest) = line.split_at_checked(width).unwrap_or((line, ""));
    format!("{}{rest}", style.clone().force_styling(true).apply_to(word))
}

/// Lines and columns of the terminal. The last column stays free: some terminals wrap when it is
/// written.
fn size() -> (usize, usize) {
    let (height, width) = Term::stderr().size();
    (usize::from(height), usize::from(width).max(20) - 1)
}

fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Renderer for Tty {
    fn source(&mut self, source: Source) {
        self.source = source;
    }

    fn planned(&mut self, steps: Vec<Step>, _: Duration) {
        self.view().planned(steps);
    }

    fn event(&mut self, event: &Event, at: Duration) {
        match event {
            // A rule of the linter, whose findings come after the build, says the same.
            Event::Warning { diagnostic }
                if diagnostic.kind == DiagnosticKind::EmptyContinuation => {}
            Event::Warning { diagnostic } => {
                self.bar.println(diagnostics::render(&self.source, [diagnostic], self.colour));
            }
            Event::Notice { text } => self.note(text, at),
            Event::Waiting { step, wait } => {
                let text = units::waiting(wait);
                self.view().started(*step, at);
                self.view().output(*step, Stream::Stderr, format!("{text}\n").as_bytes());
            }
            Event::Missed { step, reasons } => self.view().missed(*step, reasons),
            Event::Busted { busts } => {
                for bust in busts.iter().filter(|bust| is_worth_telling(bust)) {
                    self.note(&reasons::bust(bust, "re-ran"), at);
                }
            }
            Event::Started { step } => self.view().started(*step, at),
            Event::Output { step, stream, bytes } => self.view().output(*step, *stream, bytes),
            Event::Finished { step, result } => {
                let line = self.view().finished(*step, result, size().1);
                let style = match result {
                    StepResult::Cached { .. } => Style::new().cyan(),
                    StepResult::Failed { .. } => Style::new().red().bold(),
                    _ => Style::new().green(),
                };
                let line = if self.colour { painted(&line, WORD, &style) } else { line };
                self.bar.println(line);
            }
            Event::TaskStarted { what } => self.view().task_started(what, at),
            Event::Transfer { what, .. } => {
                if let Some(transfer) = Transfer::of(event) {
                    self.view().transfer(what, transfer, at);
                }
            }
            Event::TaskProgress { what, done, size } => {
                self.view().task_progress(what, *done, *size, at);
            }
            Event::Packing { step, size, state } => {
                let done = match state {
                    PackingState::Moving { done } => Some(*done),
                    _ => None,
                };
                self.view().packing(*step, done, *size, at);
            }
            Event::TaskFinished { what, duration } => {
                self.view().task_finished(what);
                self.bar.println(format!("{:>8}  {what}", units::seconds(*duration)));
            }
            _ => {}
        }
    }

    fn note(&mut self, text: &str, _: Duration) {
        self.bar.println(format!("notice: {text}"));
    }

    fn built(&mut self, summary: &Summary) {
        // The bar is finished by now and prints nothing more.
        let _ = Term::stderr().write_line(&summary.to_string());
    }

    fn failed(&mut self, _: &Failure, _: Duration) {}

    fn close(&mut self) {
        if let Some(Ticker { stop, thread }) = self.ticker.take() {
            drop(stop);
            let _ = thread.join();
            self.bar.finish_and_clear();
        }
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        self.close();
    }
}
