use std::fmt;

/// Where in a compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name of the file, as it was given.
    pub file: String,
    /// From 1; 0 if it is not known.
    pub line: u64,
    /// From 1, in characters; 0 if it is not known.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// Why a compose file could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not YAML, or a mapping has a key twice.
    #[error("read {place}: {reason}")]
    Yaml {
        /// Where.
        place: Place,
        /// What is wrong.
        reason: String,
    },
    /// Something else is there than compose knows.
    #[error("read {place}: {what} must be {expected}")]
    Type {
        /// Where.
        place: Place,
        /// The field, with what it is in.
        what: String,
        /// What it can be, in words.
        expected: &'static str,
    },
    /// A variable cannot be put in.
    #[error("expand the variables of {place}: {reason}")]
    Variable {
        /// Where.
        place: Place,
        /// Why.
        reason: String,
    },
    /// A service, a secret or a file is named that is not there.
    #[error("read {place}: {reason}")]
    Unknown {
        /// Where.
        place: Place,
        /// What is missing, in words.
        reason: String,
    },
    /// A service begins with the image of one that is not there.
    #[error(
        "read {place}: {service} has the image of the service `{name}` for a context, which is not there"
    )]
    UnknownService {
        /// Where.
        place: Place,
        /// The service that names it.
        service: String,
        /// What is named.
        name: String,
        /// The services that are there.
        known: Vec<String>,
    },
    /// A line of an environment file.
    #[error("read {place}: {reason}")]
    EnvFile {
        /// Where.
        place: Place,
        /// What is wrong.
        reason: String,
    },
}
