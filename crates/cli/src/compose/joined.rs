use std::sync::{Mutex, PoisonError};

use dfbuild::{Base, Error, Event, Observer, StepId, StepInfo};

use crate::progress::Progress;
use crate::source::Source;

/// Shows several builds as one: their steps get numbers of their own, and the name of their service, as
/// Compose has BuildKit write them: `[web 2/5] RUN make`, `[web] exporting image`.
pub(super) struct Joined<'p> {
    progress: &'p Progress,
    /// How many steps there are so far.
    steps: Mutex<usize>,
}

/// One of the builds.
pub(super) struct Member<'j> {
    joined: &'j Joined<'j>,
    service: &'j str,
    source: &'j Source,
    on_bases: &'j OnBases<'j>,
    /// The number of its first step.
    first: Mutex<usize>,
}

/// Told what a build begins with.
type OnBases<'a> = dyn Fn(&[Base]) + Sync + 'a;

impl<'p> Joined<'p> {
    pub(super) fn new(progress: &'p Progress) -> Self {
        Self { progress, steps: Mutex::new(0) }
    }

    /// The observer of the build of one service.
    pub(super) fn member<'j>(
        &'j self,
        service: &'j str,
        source: &'j Source,
        on_bases: &'j OnBases<'j>,
    ) -> Member<'j> {
        Member { joined: self, service, source, on_bases, first: Mutex::new(0) }
    }
}

impl Member<'_> {
    fn id(&self, id: StepId) -> StepId {
        StepId(*self.first.lock().unwrap_or_else(PoisonError::into_inner) + id.0)
    }

    fn step(&self, step: &StepInfo) -> StepInfo {
        let mut step = step.clone();
        step.id = self.id(step.id);
        let prefix = format!("{} {}", self.service, step.prefix);
        prefix.trim_end().clone_into(&mut step.prefix);
        step.stage.clone_from(&step.prefix);
        step
    }

    fn named(&self, text: &str) -> String {
        format!("[{}] {text}", self.service)
    }

    /// The error with the step as it is shown.
    pub(super) fn error(&self, mut error: Error) -> Error {
        if let Error::Step { step, .. } = &mut error {
            **step = self.step(step);
        }
        error
    }
}

impl Observer for Member<'_> {
    fn event(&self, event: &Event) {
        let mut event = event.clone();
        match &mut event {
            Event::Planned { steps } => {
                {
                    // A build that begins anew gets new numbers.
                    let count = &self.joined.steps;
                    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
                    *self.first.lock().unwrap_or_else(PoisonError::into_inner) = *count;
                    *count += steps.len();
                }
                *steps = steps.iter().map(|step| self.step(step)).collect();
            }
            Event::Waiting { step, .. }
            | Event::Waited { step, .. }
            | Event::Packing { step: Some(step), .. }
            | Event::Missed { step, .. }
            | Event::Started { step }
            | Event::Output { step, .. }
            | Event::Finished { step, .. } => *step = self.id(*step),
            Event::BasesFound { bases } => (self.on_bases)(bases),
            Event::Notice { text } => *text = format!("{}: {text}", self.service),
            Event::TaskStarted { what }
            | Event::TaskProgress { what, .. }
            | Event::TaskFinished { what, .. }
            | Event::Transfer { what, .. } => *what = self.named(what),
            Event::Warning { .. } => {
                // Its place is in this Dockerfile.
                let count = &self.joined.steps;
                let _one_at_a_time = count.lock().unwrap_or_else(PoisonError::into_inner);
                self.joined.progress.read(self.source.clone());
                self.joined.progress.event(&event);
                return;
            }
            _ => {}
        }
        self.joined.progress.event(&event);
    }
}
