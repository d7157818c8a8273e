use std::io;
use std::path::{PathBuf, absolute};

use serde::{Deserialize, Serialize};

use crate::options::{Secret, SecretSource};

/// Secrets, whose values go over the socket, where nobody else can read them.
#[derive(Serialize, Deserialize)]
pub(super) struct SentSecrets(Vec<(String, SentSecret)>);

#[derive(Serialize, Deserialize)]
enum SentSecret {
    File(PathBuf),
    Value(Vec<u8>),
    Unset,
}

impl SentSecrets {
    pub(super) fn of(secrets: Vec<Secret>) -> io::Result<Self> {
        let sent = secrets.into_iter().map(|Secret { id, source }| {
            Ok(match source {
                SecretSource::File(path) => (id, SentSecret::File(absolute(path)?)),
                SecretSource::Value(value) => (id, SentSecret::Value(value)),
                SecretSource::Unset => (id, SentSecret::Unset),
            })
        });
        Ok(Self(sent.collect::<io::Result<_>>()?))
    }

    pub(super) fn received(self) -> Vec<Secret> {
        let secrets = self.0.into_iter().map(|(id, source)| {
            let source = match source {
                SentSecret::File(path) => SecretSource::File(path),
                SentSecret::Value(value) => SecretSource::Value(value),
                SentSecret::Unset => SecretSource::Unset,
            };
            Secret { id, source }
        });
        secrets.collect()
    }
}
