use std::error::Error;

/// An error and what caused it in one line: `pull app: unauthorized`. Some errors name their cause
/// themselves, and it is not repeated.
///
/// ```
/// let error = std::io::Error::other("the disk is gone");
/// assert_eq!(dfbuild::with_causes(&error), "the disk is gone");
/// ```
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(&format!(": {more}"));
        }
        cause = error.source();
    }
    text
}
