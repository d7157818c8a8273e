use dfbuild_cache::Reason;
use serde::{Deserialize, Serialize};

/// One cause, and the steps that are not cached for it.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let text = "FROM scratch\nARG VERSION\nRUN make\nRUN echo $VERSION\n";
/// let build = Build::new(BuildContext::Empty).dockerfile_text(text);
/// let nobody = |_: &Event| {};
/// build.clone().build_arg("VERSION", "1").run(&engine, &nobody, &Cancel::new())?;
///
/// let loaded = build.build_arg("VERSION", "2").load(&engine, &nobody, &Cancel::new())?;
/// let bust = &loaded.explain(&nobody)?.busts[0];
/// assert_eq!((bust.line, bust.text.as_str(), bust.steps), (2, "RUN make", 2));
/// assert_eq!(bust.first_use, Some(4)); // `RUN make` need not have run.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bust {
    /// The cause.
    pub reason: Reason,
    /// The instruction that it is about: the step that is not cached first, on one line.
    pub text: String,
    /// Its line, from 1; for a variable the line that sets it.
    pub line: usize,
    /// How many steps run for it.
    pub steps: usize,
    /// How long they take, as far as it is known, in milliseconds.
    pub milliseconds: u64,
    /// For a variable: the first line that names it, if that comes after the first step that runs
    /// for it. Setting it right before would save the steps between.
    pub first_use: Option<usize>,
}
