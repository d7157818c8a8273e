use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time as images write it: RFC 3339 in UTC, `1980-01-02T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// The time that a builder without a clock takes where nothing better is known. Not 1970,
    /// which zip archives and some tools cannot hold.
    pub const NO_CLOCK: Self = Self(Duration::from_secs(315_619_200));

    /// Whole seconds since 1970-01-01 UTC. Times before 1970 become 1970, which RFC 3339 writers
    /// of other builders also show.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Whole seconds since 1970-01-01 UTC.
    pub fn seconds(&self) -> i64 {
        i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX)
    }

    /// The time as the operating system has it.
    pub fn system_time(&self) -> SystemTime {
        UNIX_EPOCH + self.0
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339(self.system_time()).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    /// Accepts any offset: other builders write local times, as `2024-01-01T00:00:00+02:00`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("invalid time `{text}`: expected RFC 3339"))
        })
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(time) = humantime::parse_rfc3339(text) {
        return Some(Timestamp::from(time));
    }
    // Go's zero time, which means "unknown", and times with an offset.
    if text.starts_with("0001-01-01") {
        return Some(Timestamp(Duration::ZERO));
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, clock) = offset.split_at_checked(1)?;
    let (hours, minutes) = clock.split_once(':')?;
    let offset =
        Duration::from_secs(hours.parse::<u64>().ok()? * 3600 + minutes.parse::<u64>().ok()? * 60);
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let time = match sign {
        "+" => local.checked_sub(offset)?,
        "-" => local.checked_add(offset)?,
        _ => return None,
    };
    Some(Timestamp::from(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        assert_eq!(Timestamp::NO_CLOCK.to_string(), "1980-01-02T00:00:00Z");
        for (given, shown) in [
            ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
            ("2020-01-01T02:30:00+02:30", "2020-01-01T00:00:00Z"),
            ("2019-12-31T23:00:00.5-01:00", "2020-01-01T00:00:00.500000000Z"),
            ("0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse(given).unwrap().to_string(), shown);
        }
        assert_eq!(parse("yesterday"), None);
        assert_eq!(parse(""), None);
    }
}
