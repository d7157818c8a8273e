//! Sizes and times as docker writes and reads them.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use dfbuild::Wait;

/// Reads how many there are to be, at least one.
pub(crate) fn parse_count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "give a number from 1 on".to_owned())
}

/// Reads a size in bytes with docker's binary units: `64m`, `1.5g`, `100`, `2KiB`
/// (go-units `RAMInBytes`).
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let error = || format!("`{text}` is no size: expected a number with b, k, m or g behind it");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if !unit.starts_with('i') => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(error()),
    };
    if unit.len() > 3 || unit.ends_with('i') || unit.ends_with("bb") {
        return Err(error());
    }
    // Whole numbers stay exact; fractions go through floating point, as docker does throughout.
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).ok_or_else(error);
    }
    let number: f64 = number.parse().map_err(|_| error())?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "digits only, so not negative; parts of a byte are cut off"
    )]
    let bytes = (number * (1_u64 << shift) as f64) as u64;
    Ok(bytes)
}

/// A size with three significant digits and decimal units: `72.8MB`
/// (go-units `HumanSizeWithPrecision(size, 3)`).
pub(crate) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = bytes as f64;
    let mut unit = 0;
    // 999.5 kB has three digits only as 1 MB.
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let decimals = if size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else {
        2
    };
    let number = format!("{size:.decimals$}");
    let number =
        if decimals > 0 { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{number}{}", UNITS[unit])
}

/// A duration in words: `About a minute`, `3 weeks` (go-units `HumanDuration`).
pub(crate) fn human_duration(duration: Duration) -> String {
    const HOURS_OF_DAY: u64 = 24;
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < HOURS_OF_DAY * 7 * 2 => format!("{} days", hours / HOURS_OF_DAY),
        () if hours < HOURS_OF_DAY * 30 * 2 => format!("{} weeks", hours / HOURS_OF_DAY / 7),
        () if hours < HOURS_OF_DAY * 365 * 2 => format!("{} months", hours / HOURS_OF_DAY / 30),
        () => format!("{} years", seconds / 3600 / HOURS_OF_DAY / 365),
    }
}

/// A time that passed, for progress: `0.4s`, `75.0s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

/// What a step waits for.
pub(crate) fn waiting(wait: &Wait) -> String {
    match wait {
        Wait::Build { pid, since } => {
            let time = seconds(SystemTime::now().duration_since(*since).unwrap_or_default());
            format!("waiting for process {pid}, which has been running this step for {time}")
        }
        Wait::CacheMount { target } => {
            format!("waiting for the cache mount {target}, which another command uses")
        }
        _ => "waiting for other steps to end".to_owned(),
    }
}

/// What a step has waited for.
pub(crate) fn awaited(wait: &Wait) -> String {
    match wait {
        Wait::Build { pid, .. } => format!("for process {pid}, which ran the same step"),
        Wait::CacheMount { target } => format!("for the cache mount {target}"),
        _ => "for other steps to end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (given, expect) in [
            ("0", 0),
            ("100", 100),
            ("100b", 100),
            ("64m", 64 << 20),
            ("64M", 64 << 20),
            ("64mb", 64 << 20),
            ("64MiB", 64 << 20),
            ("2 g", 2 << 30),
            ("1.5k", 1536),
            ("134217728", 134_217_728),
        ] {
            assert_eq!(parse_size(given), Ok(expect), "{given}");
        }
        for bad in ["", "m", "-1", "1x", "1mm", "1mi", "1ib", "1bb", "1.2.3k", "99999999999g"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_written() {
        for (given, expect) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_270_000, "4.27MB"),
            (72_800_000, "72.8MB"),
            (72_840_000, "72.8MB"),
            (100_000_000, "100MB"),
            (137_400_000, "137MB"),
            (999_900, "1MB"),
            (9_996_000, "10MB"),
            (1_234_000_000, "1.23GB"),
        ] {
            assert_eq!(human_size(given), expect);
        }
    }

    #[test]
    fn durations_are_written() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        for (given, expect) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60 + 59, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 1799, "About an hour"),
            (HOUR + 1800, "2 hours"),
            (47 * HOUR, "47 hours"),
            (2 * DAY, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (59 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (729 * DAY, "24 months"),
            (730 * DAY, "2 years"),
        ] {
            assert_eq!(human_duration(Duration::from_secs(given)), expect, "{given}");
        }
    }
}
