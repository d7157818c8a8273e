//! Building twice to see whether the same comes out.

mod compare;
mod files;

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dfbuild_image::{Digest, Platform};
use serde::{Deserialize, Serialize};

use crate::build::Built;

/// What came out of two builds of the same in stores of their own.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let build = Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
///     .build_arg("SOURCE_DATE_EPOCH", "0");
/// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let verification = loaded.verify(&|_: &Event| {})?;
/// assert!(verification.difference.is_none());
/// assert_eq!(verification.first.image_id, verification.second.image_id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verification {
    /// The first build.
    pub first: Built,
    /// The second one.
    pub second: Built,
    /// What differs first; `None` if the images are the same, byte for byte.
    pub difference: Option<Difference>,
}

/// Where two images differ.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # use std::sync::atomic::{AtomicU8, Ordering};
/// # use dfbuild::{Engine, testing::FakeSandbox};
/// # let times = AtomicU8::new(0);
/// # let engine = Engine::open(store.path())?.with_sandbox(FakeSandbox::new(move |command| {
/// #     let content = times.fetch_add(1, Ordering::Relaxed).to_string();
/// #     i32::from(std::fs::write(command.root().join("random"), content).is_err())
/// # }));
/// let build = Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nRUN head -c1 /dev/urandom > /random\n")
///     .build_arg("SOURCE_DATE_EPOCH", "0");
/// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let difference = loaded.verify(&|_: &Event| {})?.difference.unwrap();
/// println!("for {}: {:?}", difference.platform, difference.part);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Of which platform.
    pub platform: Platform,
    /// In which part.
    pub part: DifferentPart,
}

/// The part of an image that is not the same twice.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # use std::sync::atomic::{AtomicU8, Ordering};
/// # use dfbuild::{Engine, testing::FakeSandbox};
/// use dfbuild::DifferentPart;
///
/// # let times = AtomicU8::new(0);
/// # let engine = Engine::open(store.path())?.with_sandbox(FakeSandbox::new(move |command| {
/// #     let content = times.fetch_add(1, Ordering::Relaxed).to_string();
/// #     i32::from(std::fs::write(command.root().join("random"), content).is_err())
/// # }));
/// let build = Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nRUN head -c1 /dev/urandom > /random\n")
///     .build_arg("SOURCE_DATE_EPOCH", "0");
/// let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
/// match loaded.verify(&|_: &Event| {})?.difference.unwrap().part {
///     DifferentPart::File { path, created_by, .. } => println!("{path} of {created_by} differs"),
///     DifferentPart::Configuration { field, .. } => println!("{field} differs"),
///     part => println!("{part:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DifferentPart {
    /// A file of a layer.
    File {
        /// The number of the layer, the lowest is 1.
        layer: usize,
        /// How many layers there are.
        layers: usize,
        /// The line of the history that made it.
        created_by: String,
        /// The first file that differs in more than its time, else the first that does in that.
        path: String,
        /// How.
        changes: Vec<FileDifference>,
        /// How many other files of the layer differ.
        others: usize,
    },
    /// The archive of a layer, though its files are the same.
    Archive {
        /// The number of the layer, the lowest is 1.
        layer: usize,
        /// The line of the history that made it.
        created_by: String,
    },
    /// The numbers of layers.
    Layers {
        /// In the first image.
        first: usize,
        /// In the second.
        second: usize,
    },
    /// A value of the configuration.
    Configuration {
        /// Where it is: `history[3].created`.
        field: String,
        /// In the first image.
        first: String,
        /// In the second.
        second: String,
    },
    /// The manifests, of the same layers and configuration.
    Manifest {
        /// The digest of the first.
        first: Digest,
        /// The digest of the second.
        second: Digest,
    },
}

/// How a file differs.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # use std::sync::atomic::{AtomicU8, Ordering};
/// # use dfbuild::{Engine, testing::FakeSandbox};
/// use dfbuild::{DifferentPart, FileDifference};
///
/// # let times = AtomicU8::new(0);
/// # let engine = Engine::open(store.path())?.with_sandbox(FakeSandbox::new(move |command| {
/// #     let content = times.fetch_add(1, Ordering::Relaxed).to_string();
/// #     i32::from(std::fs::write(command.root().join("random"), content).is_err())
/// # }));
/// # let build = Build::new(BuildContext::Empty)
/// #     .dockerfile_text("FROM scratch\nRUN head -c1 /dev/urandom > /random\n")
/// #     .build_arg("SOURCE_DATE_EPOCH", "0");
/// # let loaded = build.load(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let difference = loaded.verify(&|_: &Event| {})?.difference.unwrap();
/// let DifferentPart::File { path, changes, .. } = difference.part else { panic!() };
/// assert_eq!(path, "/random");
/// assert_eq!(changes[0], FileDifference::Content { offset: Some(0) });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FileDifference {
    /// It is not there in the second image.
    OnlyInFirst,
    /// It is not there in the first image.
    OnlyInSecond,
    /// It is another kind of thing.
    Kind {
        /// In the first image: `file`, `directory`, …
        first: Cow<'static, str>,
        /// In the second.
        second: Cow<'static, str>,
    },
    /// Its length, in bytes.
    Size {
        /// In the first image.
        first: u64,
        /// In the second.
        second: u64,
    },
    /// Its content.
    Content {
        /// The first byte that differs, from 0; `None` if the files could not be read again.
        offset: Option<u64>,
    },
    /// Where a link leads, or which device it is.
    Target {
        /// In the first image.
        first: String,
        /// In the second.
        second: String,
    },
    /// Its mode.
    Mode {
        /// In the first image.
        first: u32,
        /// In the second.
        second: u32,
    },
    /// Its owner and group.
    Owner {
        /// In the first image.
        first: (u32, u32),
        /// In the second.
        second: (u32, u32),
    },
    /// Its capabilities.
    Capability,
    /// Its time, in seconds since 1970-01-01 UTC.
    Time {
        /// In the first image.
        first: i64,
        /// In the second.
        second: i64,
    },
}

pub(crate) use compare::compare;

/// How long it takes until the clock shows another second than at `now`.
pub(crate) fn until_next_second(now: SystemTime) -> Duration {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_nanos(1_000_000_000 - u64::from(since.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_second_is_another_one() {
        for (nanos, expect) in [(0, 1_000_000_000), (1, 999_999_999), (999_999_999, 1)] {
            let now = UNIX_EPOCH + Duration::new(1_700_000_000, nanos);
            let wait = until_next_second(now);
            assert_eq!(wait, Duration::from_nanos(expect));
            assert_eq!(now + wait, UNIX_EPOCH + Duration::from_secs(1_700_000_001));
        }
    }
}
