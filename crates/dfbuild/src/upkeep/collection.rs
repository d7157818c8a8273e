use std::time::Duration;

use dfbuild_store::{Inventory, Policy, Removed};

use super::records::promised_by;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::options::StoreLimit;

/// What to remove of a store. What images need and running builds use always stays.
///
/// ```
/// use std::time::Duration;
///
/// use dfbuild::upkeep::Prune;
///
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let mut of_last_week = Prune::default();
/// of_last_week.unused_for = Some(Duration::from_secs(7 * 24 * 3600));
/// assert_eq!(engine.prune(&of_last_week)?.bytes, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Prune {
    /// How much the store may take afterwards, in bytes; what was used last stays. Without it
    /// everything goes that may.
    pub keep_bytes: Option<u64>,
    /// Only what was not used for so long.
    pub unused_for: Option<Duration>,
    /// Also what only saves work for images that stay, and what tells of builds: their logs, and the
    /// reasons of misses.
    pub all: bool,
}

/// A tenth of the file system, and no less than that (BuildKit `DetectDefaultGCCap`).
const LEAST_LIMIT: u64 = 2_000_000_000;

impl Engine {
    /// What is in the store, and what keeps it. Its total is exact: every file is looked at.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let before = engine.inventory()?.total;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert!(engine.inventory()?.total > before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn inventory(&self) -> Result<Inventory, Error> {
        let mut inventory = self.store().inventory(&promised_by)?;
        inventory.total = self.store().measure();
        Ok(inventory)
    }

    /// What [`Self::prune`] would remove, in bytes.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::upkeep::Prune;
    ///
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let bytes = engine.prunable(&Prune::default())?;
    /// println!("remove {bytes} bytes?");
    /// assert!(bytes > 0); // The image has no name.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prunable(&self, prune: &Prune) -> Result<u64, Error> {
        let inventory = self.store().inventory(&promised_by)?;
        let items = self.store().collectable(&inventory, &prune.policy());
        Ok(items.iter().map(|item| item.bytes).sum())
    }

    /// Removes what is not needed. Builds may run meanwhile; [`Self::fsck`] is waited for.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::upkeep::Prune;
    ///
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nRUN make\n")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// engine.prune(&Prune::default())?; // No image needs it.
    /// assert_eq!(engine.prunable(&Prune::default())?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prune(&self, prune: &Prune) -> Result<Removed, Error> {
        let _collecting = self.store().wait_to_collect();
        let inventory = self.store().inventory(&promised_by)?;
        Ok(self.store().collect(&inventory, &prune.policy())?)
    }

    /// Removes what was not used for the longest time if the store is over its limit, and this process
    /// has added to it. A build whose store cannot be tidied up has not failed.
    pub(crate) fn keep_limit(&self, observer: &dyn Observer) {
        let Some(usage) = self.store().usage_if_grown() else { return };
        let Some(limit) = self.limit_in_bytes().filter(|limit| usage > *limit) else { return };
        // Somebody else is at it.
        let Some(_collecting) = self.store().collecting() else { return };
        let text = match self.collect_down_to(limit) {
            Ok((Removed { items, refused: Some(error), .. }, _)) if items.is_empty() => {
                format!("the store is over its limit, and could not be tidied up: {error}")
            }
            Ok((removed, left)) => {
                let mut text = String::new();
                if !removed.items.is_empty() {
                    text = format!(
                        "the store was over its limit of {}: {} were removed that had not been used \
                         for the longest time; ",
                        megabytes(limit),
                        megabytes(removed.bytes)
                    );
                }
                if left > limit {
                    text += &format!(
                        "the store takes {}, which is over its limit of {}: what named images and \
                         running builds need stays",
                        megabytes(left),
                        megabytes(limit)
                    );
                }
                if text.is_empty() {
                    return;
                }
                text.trim_end_matches("; ").to_owned()
            }
            Err(error) => {
                format!("the store is over its limit, and could not be tidied up: {error}")
            }
        };
        observer.event(&Event::Notice { text });
    }

    /// What was removed, and how many bytes are left.
    fn collect_down_to(&self, limit: u64) -> Result<(Removed, u64), dfbuild_store::Error> {
        let inventory = self.store().inventory(&promised_by)?;
        // Not at every build again.
        let keep = if inventory.total > limit { limit / 10 * 9 } else { limit };
        let policy = Policy { keep_bytes: Some(keep), ..Policy::default() };
        let removed = self.store().collect(&inventory, &policy)?;
        let left = inventory.total.saturating_sub(removed.bytes);
        Ok((removed, left))
    }

    fn limit_in_bytes(&self) -> Option<u64> {
        match self.store_limit() {
            StoreLimit::Bytes(bytes) => Some(bytes),
            StoreLimit::Unlimited => None,
            StoreLimit::OfDisk => {
                let disk = rustix::fs::statvfs(self.store().root()).ok()?;
                let size = disk.f_blocks.saturating_mul(disk.f_frsize);
                Some((size / 10).max(LEAST_LIMIT))
            }
        }
    }
}

impl Prune {
    fn policy(&self) -> Policy {
        Policy { keep_bytes: self.keep_bytes, unused_for: self.unused_for, all: self.all }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}
