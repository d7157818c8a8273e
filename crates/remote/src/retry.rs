use std::time::{Duration, SystemTime};

use crate::{Error, RetryPolicy};

/// Whether trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    Never,
    Backoff,
    /// As for a refused connection.
    Sparingly,
    /// The server named the wait.
    After(Duration),
}

/// Something that went wrong, and whether trying again may help.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) retry: Retry,
}

impl Failure {
    pub(crate) fn again(error: Error) -> Self {
        Self { error, retry: Retry::Backoff }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, retry: Retry::Never }
    }
}

/// The tries that one thing has had.
#[derive(Debug)]
pub(crate) struct Tries<'a> {
    policy: &'a RetryPolicy,
    failed: u32,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(policy: &'a RetryPolicy) -> Self {
        Self { policy, failed: 0 }
    }

    pub(crate) fn failed(&self) -> u32 {
        self.failed
    }

    /// Begins to count anew, since there was progress.
    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }

    /// Counts a failure: the wait before the next try, or `None` if there is none.
    pub(crate) fn after(&mut self, retry: Retry) -> Option<Duration> {
        self.failed = self.failed.saturating_add(1);
        let limit = match retry {
            Retry::Never => 1,
            Retry::Sparingly => self.policy.connect_tries.min(self.policy.tries),
            Retry::Backoff | Retry::After(_) => self.policy.tries,
        };
        if self.failed >= limit {
            return None;
        }
        let doublings = (self.failed - 1).min(20);
        let wait = self.policy.first_wait.saturating_mul(1 << doublings);
        let wait = wait.min(self.policy.longest_wait);
        match retry {
            Retry::After(asked) if asked > self.policy.longest_retry_after => None,
            Retry::After(asked) => Some(asked.max(self.policy.first_wait)),
            _ => Some(wait),
        }
    }
}

/// The wait in a `Retry-After` header: seconds, or the time until a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777); // 06 Nov 1994 08:49:37
        for (value, expect) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), expect.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        let policy = RetryPolicy {
            tries: 5,
            connect_tries: 2,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(3),
            longest_retry_after: Duration::from_secs(60),
        };
        let waits = |retries: &[Retry]| {
            let mut tries = Tries::new(&policy);
            retries.iter().map(|&r| tries.after(r).map(|w| w.as_secs())).collect::<Vec<_>>()
        };
        assert_eq!(waits(&[Retry::Backoff; 5]), [Some(1), Some(2), Some(3), Some(3), None]);
        assert_eq!(waits(&[Retry::Sparingly; 2]), [Some(1), None]);
        assert_eq!(waits(&[Retry::Never]), [None]);
        let after = |seconds| Retry::After(Duration::from_secs(seconds));
        assert_eq!(waits(&[after(9), after(0), after(61)]), [Some(9), Some(1), None]);
    }
}
