use std::error::Error;

/// The cause of an error, of any type.
///
/// ```
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::{Cause, Error, LoadSource};
///
/// let error = engine.load(LoadSource::Path("/nothing.tar".into()), &[]).unwrap_err();
/// let Error::Transfer { source: Some(cause), .. } = error else { panic!() };
/// let cause: Cause = cause;
/// assert!(cause.to_string().contains("/nothing.tar"), "{cause:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

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
