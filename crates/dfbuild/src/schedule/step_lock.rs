use std::cell::Cell;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use dfbuild_cache::{Key, Record};
use dfbuild_plan::Step;
use dfbuild_store::{Holder, KeyLock};

use crate::error::Error;
use crate::event::{StepInfo, Wait};
use crate::schedule::lookup::Lookup;
use crate::schedule::session::Session;
use crate::schedule::stage_result::StageResult;
use crate::turn::{LOOK_INTERVAL, Turn};

/// Syncing costs tens of milliseconds on a busy file system, a lost step its whole time.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// The right to run a step, waited for without a place among the running steps. `Err(None)` when
    /// this build is to end.
    pub(super) fn step_turn(
        &self,
        info: &StepInfo,
        step: &Step,
        key: &Key,
        below: &StageResult,
    ) -> Result<Turn<Box<Record>>, Option<Error>> {
        // Until the turn has come.
        let waiting = Cell::new(None);
        let waits = |holder: Holder| {
            let wait = Wait::Build { pid: holder.pid, since: holder.since };
            waiting.set(Some(self.progress.waits(info.id, wait)));
        };
        let made = || match self.lookup(step, key, below) {
            Lookup::Hit(record) => Some(Box::new(record)),
            Lookup::Miss(_) => None,
        };
        self.engine.take_turn(&key.digest(), &waits, &made).ok_or(None)
    }

    /// Keeps the lock of a step that ran until its result is promised to all.
    pub(super) fn give_back_later(&self, lock: KeyLock) {
        self.finished.locks.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
    }

    /// Has the store promise what was made: now and then, since a killed build loses what it did not;
    /// and at once when another build waits for it. Until `stop` is gone.
    pub(super) fn commit_finished(&self, stop: &Receiver<()>) {
        while stop.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let mut locks = self.finished.locks.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = locks.iter().any(KeyLock::is_wanted);
            let mut committed =
                self.finished.committed.lock().unwrap_or_else(PoisonError::into_inner);
            if !wanted && (locks.is_empty() || committed.elapsed() < COMMIT_INTERVAL) {
                continue;
            }
            let done = std::mem::take(&mut *locks);
            drop(locks);
            // A failure comes up again at the end of the build.
            let _ = self.engine.store().commit();
            *committed = Instant::now();
            drop(done);
        }
    }
}
