use std::thread;
use std::time::{Duration, Instant};

/// Looks again and again until it holds.
///
/// # Panics
/// After a minute.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    const DEADLINE: Duration = Duration::from_secs(60);
    /// Only to leave the processor to what is waited for.
    const PAUSE: Duration = Duration::from_millis(2);
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "after a minute it still does not hold: {what}");
        thread::sleep(PAUSE);
    }
}
