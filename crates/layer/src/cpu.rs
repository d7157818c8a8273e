//! The processor time of work that several threads share.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

thread_local! {
    /// What measures the work of this thread.
    static METER: RefCell<Option<Arc<Meter>>> = const { RefCell::new(None) };
}

/// Takes the time of the threads that help.
#[derive(Debug, Default)]
struct Meter {
    nanoseconds: AtomicU64,
    /// Some of the time is not known.
    partial: AtomicBool,
    /// What measures the work that this is a part of.
    outer: Option<Arc<Meter>>,
}

/// Does `work`, and says what processor time this thread took for it, together with the threads on which
/// this crate has a part of it done. `None` if threads of a C library helped, whose time nobody can
/// tell: zstd has such.
///
/// ```
/// let (sum, time) = dfbuild_layer::measure_cpu(|| (0..1000).sum::<u32>());
/// assert_eq!(sum, 499_500);
/// assert!(time.is_some());
/// ```
pub fn measure_cpu<T>(work: impl FnOnce() -> T) -> (T, Option<Duration>) {
    let meter = Arc::new(Meter { outer: current(), ..Meter::default() });
    let begin = thread_time();
    let done = {
        let _measured = Measured::by(Some(Arc::clone(&meter)));
        work()
    };
    let helpers = Duration::from_nanos(meter.nanoseconds.load(Ordering::Relaxed));
    let time = thread_time().saturating_sub(begin) + helpers;
    (done, (!meter.partial.load(Ordering::Relaxed)).then_some(time))
}

/// The account of a thread that helps another one.
#[derive(Debug, Clone)]
pub(crate) struct Helper(Option<Arc<Meter>>);

impl Helper {
    /// For helpers of this thread.
    pub(crate) fn new() -> Self {
        Self(current())
    }

    /// Does `work` on the thread of a helper.
    pub(crate) fn work<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(meter) = &self.0 else { return work() };
        let begin = thread_time();
        let done = {
            let _measured = Measured::by(Some(Arc::clone(meter)));
            work()
        };
        let time = thread_time().saturating_sub(begin);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        meter.all(|meter| {
            meter.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        });
        done
    }
}

/// Notes that a part of what this thread does is measured by nobody.
pub(crate) fn cannot_tell() {
    if let Some(meter) = current() {
        meter.all(|meter| meter.partial.store(true, Ordering::Relaxed));
    }
}

impl Meter {
    /// Does something with this one and with those that it is a part of.
    fn all(&self, act: impl Fn(&Self)) {
        let mut meter = Some(self);
        while let Some(this) = meter {
            act(this);
            meter = this.outer.as_deref();
        }
    }
}

/// Has a meter for this thread until it is dropped, also by a panic.
struct Measured(Option<Arc<Meter>>);

impl Measured {
    fn by(meter: Option<Arc<Meter>>) -> Self {
        Self(METER.with(|current| current.replace(meter)))
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        METER.with(|current| current.replace(self.0.take()));
    }
}

fn current() -> Option<Arc<Meter>> {
    METER.with(|current| current.borrow().clone())
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Uses some processor time.
    fn burn() {
        let begin = thread_time();
        while thread_time().saturating_sub(begin) < Duration::from_millis(2) {}
    }

    #[test]
    fn helpers_count_for_all_that_they_are_a_part_of() {
        let two = Duration::from_millis(2);
        let ((inner, help), outer) = measure_cpu(|| {
            let ((), inner) = measure_cpu(|| {
                let helper = Helper::new();
                thread::scope(|scope| drop(scope.spawn(move || helper.work(burn)).join()));
            });
            burn();
            // Nobody waits for what is done without an account.
            thread::scope(|scope| drop(scope.spawn(burn).join()));
            (inner.unwrap(), Helper::new().0.is_some())
        });
        assert!(help && Helper::new().0.is_none());
        assert!(inner >= two && outer.unwrap() >= inner + two, "{inner:?} {outer:?}");
    }

    #[test]
    fn a_part_that_nobody_measures_spoils_the_whole() {
        let (inner, outer) = measure_cpu(|| {
            let ((), told) = measure_cpu(|| ());
            let ((), untold) = measure_cpu(cannot_tell);
            (told, untold)
        });
        assert!(inner.0.is_some() && inner.1.is_none() && outer.is_none());
    }
}
