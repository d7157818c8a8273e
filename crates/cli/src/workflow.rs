//! Texts in the commands of a GitHub workflow.

/// A text as a command takes it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The same as the value of a property.
pub(crate) fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}
