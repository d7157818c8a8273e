//! Names and numbers of signals.

/// The signals of Linux that have names, with their numbers, without `SIG`.
const NAMES: [(&str, u8); 35] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("RTMIN", 34),
];

/// Checks the value of `STOPSIGNAL` after expansion: any number but 0, or a name with or without `SIG`, in any case.
///
/// Returns the number.
pub fn validate(signal: &str) -> Result<i64, SignalError> {
    number(signal).ok_or_else(|| SignalError { signal: signal.to_owned() })
}

/// A signal that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {signal}")]
pub struct SignalError {
    /// The text that is no signal.
    pub signal: String,
}

fn number(signal: &str) -> Option<i64> {
    if let Ok(number) = signal.parse::<i64>() {
        return Some(number).filter(|it| *it != 0);
    }
    let name = signal.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let from_list = NAMES.iter().find(|(it, _)| *it == name).map(|(_, number)| *number);
    from_list.or_else(|| real_time(name)).map(i64::from)
}

/// `RTMIN+1` up to `RTMAX`, which is 64.
fn real_time(name: &str) -> Option<u8> {
    if name == "RTMAX" {
        return Some(64);
    }
    let offset = |rest: &str| rest.parse::<u8>().ok().filter(|it| (1..=15).contains(it));
    if let Some(rest) = name.strip_prefix("RTMIN+") {
        return offset(rest).map(|it| 34 + it);
    }
    name.strip_prefix("RTMAX-").and_then(offset).filter(|it| *it <= 14).map(|it| 64 - it)
}

#[cfg(test)]
mod tests {
    use super::validate;

    #[test]
    fn names_and_numbers() {
        let table = [
            ("9", 9),
            ("SIGTERM", 15),
            ("quit", 3),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("64", 64),
        ];
        for (signal, number) in table {
            assert_eq!(validate(signal).ok(), Some(number), "{signal}");
        }
    }

    #[test]
    fn other_text_is_no_signal() {
        for signal in ["", "0", "SIGFOO", "RTMIN+16", "1.5"] {
            assert!(validate(signal).is_err(), "{signal}");
        }
        assert_eq!(validate("foo").unwrap_err().to_string(), "invalid signal: foo");
    }
}
