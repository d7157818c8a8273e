use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::StepError;
use crate::options::{Secret, SecretSource};

/// The secrets of a build. Each is read once: some files, such as pipes, can only be read once.
pub(crate) struct Secrets(BTreeMap<String, Known>);

struct Known {
    source: SecretSource,
    value: Mutex<Option<Arc<[u8]>>>,
}

impl Secrets {
    /// Of two with one name the first counts.
    pub(crate) fn new(secrets: &[Secret]) -> Self {
        let mut known = BTreeMap::new();
        for Secret { id, source } in secrets {
            known
                .entry(id.clone())
                .or_insert_with(|| Known { source: source.clone(), value: Mutex::default() });
        }
        Self(known)
    }

    /// Whether there is a secret of that name, and it comes from somewhere.
    pub(crate) fn is_set(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|known| known.source != SecretSource::Unset)
    }

    /// The value of a secret; `None` if there is none of that name.
    pub(crate) fn get(&self, id: &str) -> Result<Option<Arc<[u8]>>, StepError> {
        self.0.get(id).map(Known::value).transpose()
    }

    /// The values of all secrets that were read or can be read at any time, by their names. A pipe
    /// is left to whoever needs it: nobody may ever write to it.
    pub(crate) fn values(&self) -> Vec<(&str, Arc<[u8]>)> {
        let known = self.0.iter().filter(|(_, known)| known.is_there());
        // What cannot be read is an error where it is needed.
        known.filter_map(|(id, known)| Some((id.as_str(), known.value().ok()?))).collect()
    }

    /// The value of a secret as the line of text that it is meant to be.
    pub(crate) fn line(&self, id: &str) -> Result<Option<String>, StepError> {
        let value = self.get(id)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).trim().to_owned()))
    }
}

impl Known {
    fn is_there(&self) -> bool {
        let read = self.value.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        read || match &self.source {
            SecretSource::File(path) => path.is_file(),
            SecretSource::Value(_) | SecretSource::Unset => true,
        }
    }

    fn value(&self) -> Result<Arc<[u8]>, StepError> {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*value {
            return Ok(Arc::clone(value));
        }
        let bytes: Arc<[u8]> = match &self.source {
            SecretSource::File(path) => fs::read(path).map_err(StepError::io("read", path))?.into(),
            SecretSource::Value(value) => value.as_slice().into(),
            SecretSource::Unset => Arc::default(),
        };
        Ok(Arc::clone(value.insert(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "one\n").unwrap();
        let secret = |source| Secret { id: "a".to_owned(), source };
        let secrets = Secrets::new(&[
            secret(SecretSource::File(path.clone())),
            secret(SecretSource::Value(b"other".to_vec())),
        ]);
        assert_eq!(secrets.line("a").unwrap().as_deref(), Some("one"));
        fs::remove_file(&path).unwrap();
        assert_eq!(secrets.get("a").unwrap().as_deref(), Some(&b"one\n"[..]));
        assert_eq!(secrets.get("b").unwrap(), None);
        assert!(secrets.is_set("a") && !secrets.is_set("b"));
    }

    #[test]
    fn what_is_not_set_is_empty() {
        let secrets = Secrets::new(&[Secret { id: "a".to_owned(), source: SecretSource::Unset }]);
        assert_eq!(secrets.get("a").unwrap().as_deref(), Some(&b""[..]));
        assert!(!secrets.is_set("a"));
    }
}
