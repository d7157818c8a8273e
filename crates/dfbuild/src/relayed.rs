//! Errors that have crossed from one process to another.

use std::error::Error;

use serde::{Deserialize, Serialize};

/// What an error of another process and its causes said.
///
/// ```
/// use dfbuild::{Engine, Error, Relayed};
///
/// // A server tells its client why there is no store.
/// let error = Engine::open("/dev/null/store").unwrap_err().relayed();
/// let sent = serde_json::to_string(&error)?;
/// let Error::Relayed(relayed) = serde_json::from_str(&sent)? else { panic!() };
/// let relayed: Relayed = relayed;
/// assert_eq!(relayed.to_string(), error.to_string());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Relayed {
    message: String,
    hint: Option<String>,
    source: Option<Box<Relayed>>,
}

impl Relayed {
    pub(crate) fn of(error: &dyn Error) -> Self {
        let source = error.source().map(|source| Box::new(Self::of(source)));
        Self { message: error.to_string(), hint: None, source }
    }

    pub(crate) fn with_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// What to do about it.
    ///
    /// ```
    /// use dfbuild::Error;
    ///
    /// fn show(error: &Error) -> String {
    ///     match error {
    ///         Error::Relayed(relayed) => match relayed.hint() {
    ///             Some(hint) => format!("{relayed}\n{hint}"),
    ///             None => relayed.to_string(),
    ///         },
    ///         error => error.to_string(),
    ///     }
    /// }
    /// # let error = dfbuild::Engine::open("/dev/null/store").unwrap_err();
    /// assert!(!show(&error.relayed()).contains('\n')); // Nothing is known that helps.
    /// ```
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// An error of the operating system keeps its number.
pub(crate) mod io_error {
    use std::io;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Relayed;

    pub(crate) fn serialize<S: Serializer>(error: &io::Error, to: S) -> Result<S::Ok, S::Error> {
        (error.raw_os_error(), Relayed::of(error)).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<io::Error, D::Error> {
        let (number, relayed) = <(Option<i32>, Relayed)>::deserialize(from)?;
        Ok(number.map_or_else(|| io::Error::other(relayed), io::Error::from_raw_os_error))
    }
}

/// A cause of any type.
pub(crate) mod cause {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Relayed;
    use crate::causes::Cause;

    #[expect(clippy::ref_option, reason = "serde hands it over like this")]
    pub(crate) fn serialize<S: Serializer>(
        cause: &Option<Cause>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        cause.as_ref().map(|cause| Relayed::of(&**cause)).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Cause>, D::Error> {
        let relayed = Option::<Relayed>::deserialize(from)?;
        Ok(relayed.map(|relayed| Box::new(relayed) as Cause))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use crate::error::{Error, StepError};
    use crate::event::{StepId, StepInfo};

    fn there_and_back(error: Error) -> Error {
        let json = serde_json::to_vec(&error.relayed()).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn an_error_of_a_step_keeps_its_type() {
        let step = StepInfo {
            id: StepId(1),
            stage: "stage-0".into(),
            prefix: String::new(),
            number: 2,
            total: 2,
            text: "RUN false".into(),
            line: 2,
            last_line: 2,
        };
        let source = StepError::ExitCode {
            command: "false".into(),
            code: 1,
            missing_secrets: Vec::new(),
            script: None,
        };
        let error = Error::Step { step: Box::new(step), source: Box::new(source) };
        let text = error.to_string();
        let back = there_and_back(error);
        assert_eq!(back.to_string(), text);
        let Error::Step { source, .. } = back else { panic!("{back:?}") };
        assert!(matches!(*source, StepError::ExitCode { code: 1, .. }));
    }

    #[test]
    fn causes_keep_their_words() {
        let inner = dfbuild_sandbox::Error::Host {
            operation: "create pipes",
            source: io::Error::from_raw_os_error(24),
        };
        let words = (inner.to_string(), std::error::Error::source(&inner).unwrap().to_string());
        let error = Error::LoadContext { name: "x".into(), source: Box::new(inner.into()) };
        let Error::LoadContext { source, .. } = there_and_back(error) else { panic!() };
        let cause = std::error::Error::source(&*source).unwrap().to_string();
        assert_eq!((source.to_string(), cause), words);
    }

    #[test]
    fn the_operating_systems_number_is_kept() {
        let error = Error::io("open", "/x")(io::Error::from_raw_os_error(2));
        let Error::Io { source, .. } = there_and_back(error) else { panic!() };
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
    }
}
