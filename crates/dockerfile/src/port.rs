//! Port specifications of `EXPOSE`.

/// Reads one specification, `[ip:][host:]port[-port][/protocol]`, into its `port/protocol` keys.
pub fn parse_spec(spec: &str) -> Result<Vec<String>, PortError> {
    Err(PortError { spec: spec.to_owned(), reason: "no port specified".to_owned() })
}

/// A specification that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid port: \"{spec}\": {reason}")]
pub struct PortError {
    /// The specification.
    pub spec: String,
    /// What is wrong, in the words of the reference implementation.
    pub reason: String,
}
