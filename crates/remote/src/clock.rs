use std::fmt::Debug;
use std::time::{Duration, SystemTime};

/// Time as the client sees it, so that tests wait for nothing.
pub trait Clock: Debug + Send + Sync {
    /// The time of day, for dates in `Retry-After` and the age of tokens.
    fn now(&self) -> SystemTime;

    /// Waits for `duration`, or less once `cancelled` holds.
    fn sleep(&self, duration: Duration, cancelled: &dyn Fn() -> bool);
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// How late a sleeper may notice that it was cancelled: less than people notice.
const SLICE: Duration = Duration::from_millis(50);

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration, cancelled: &dyn Fn() -> bool) {
        let mut left = duration;
        while !left.is_zero() && !cancelled() {
            let slice = left.min(SLICE);
            std::thread::sleep(slice);
            left -= slice;
        }
    }
}
