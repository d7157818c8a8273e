use std::fmt;

use crate::Error;

/// What proves to a registry who is asking.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A user and a password or access token, sent as they are to registries with Basic
    /// authentication and to token servers.
    Basic {
        /// Name of the user.
        user: String,
        /// Password, or an access token in its place.
        password: String,
    },
    /// An identity token, which a token server exchanges (OAuth 2, `grant_type=refresh_token`).
    Identity(String),
    /// A registry token, sent as it is as `Authorization: Bearer`.
    Bearer(String),
}

impl fmt::Debug for Credential {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { user, .. } => write!(f, "Basic({user}, …)"),
            Self::Identity(_) => f.write_str("Identity(…)"),
            Self::Bearer(_) => f.write_str("Bearer(…)"),
        }
    }
}

/// Where credentials come from.
pub trait Credentials: fmt::Debug + Send + Sync {
    /// The credential for `registry`, a host with an optional port; `docker.io` for Docker Hub.
    /// `None` asks anonymously.
    fn get(&self, registry: &str) -> Result<Option<Credential>, Error>;
}

/// No credentials for anybody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anonymous;

impl Credentials for Anonymous {
    fn get(&self, _registry: &str) -> Result<Option<Credential>, Error> {
        Ok(None)
    }
}
