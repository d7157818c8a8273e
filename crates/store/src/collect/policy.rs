use std::time::{Duration, SystemTime};

use super::item::{Item, ItemKind};

/// What may go.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// How many bytes the store may take afterwards; what was not used for the longest time goes first.
    /// Without it all goes that may.
    pub keep_bytes: Option<u64>,
    /// Only what was not used for so long.
    pub unused_for: Option<Duration>,
    /// Also what only saves work for images that stay, their folders and the records of their steps,
    /// and what tells of builds.
    pub all: bool,
}

impl Policy {
    /// Which items go, in this order. `total` is what the store takes now, in bytes.
    pub(super) fn choose<'i>(
        &self,
        items: &'i [Item],
        total: u64,
        now: SystemTime,
    ) -> Vec<&'i Item> {
        let mut candidates: Vec<&Item> =
            items.iter().filter(|item| self.may_go(item, now)).collect();
        // Leftovers first: nobody will ever use them.
        candidates
            .sort_by_key(|item| (!matches!(item.kind, ItemKind::Leftover(_)), item.last_used));
        let mut left = total;
        candidates.retain(|item| {
            let goes = self.keep_bytes.is_none_or(|keep| left > keep)
                || matches!(item.kind, ItemKind::Leftover(_));
            if goes {
                left = left.saturating_sub(item.bytes);
            }
            goes
        });
        candidates
    }

    fn may_go(&self, item: &Item, now: SystemTime) -> bool {
        let age = now.duration_since(item.last_used).unwrap_or_default();
        let kind = match item.kind {
            ItemKind::Leftover(_) => return item.kept_by.is_empty(),
            // To stay below a limit copies go as everything else.
            ItemKind::LayerCopies(_) | ItemKind::Note(_) => self.all || self.keep_bytes.is_some(),
            // Builds keep only so many of their logs themselves.
            _ => self.all || !item.kind.needs_all(),
        };
        kind && item.kept_by.is_empty() && self.unused_for.is_none_or(|limit| age >= limit)
    }
}

#[cfg(test)]
mod tests {
    use dfbuild_image::Digest;

    use super::super::item::Keeper;
    use super::*;

    fn item(kind: fn(Digest) -> ItemKind, bytes: u64, hours: u64) -> Item {
        let mut item = Item::new(kind(Digest::of([hours.to_le_bytes()].concat())));
        item.add("x".into(), bytes, now() - Duration::from_secs(3600 * hours));
        item
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let mut kept = item(ItemKind::Blob, 100, 99);
        kept.kept_by.push(Keeper::Process(1));
        let items = [
            item(ItemKind::Layer, 10, 5),
            item(ItemKind::Mount, 20, 50),
            item(ItemKind::LayerCopies, 30, 20),
            item(ItemKind::ImageRecords, 1, 60),
            kept,
        ];
        let ages = |policy: &Policy| {
            let chosen = policy.choose(&items, 200, now());
            let ages = chosen.iter().map(|item| now().duration_since(item.last_used).unwrap());
            ages.map(|age| age.as_secs() / 3600).collect::<Vec<_>>()
        };
        assert_eq!(ages(&Policy::default()), [50, 5]);
        assert_eq!(ages(&Policy { all: true, ..Policy::default() }), [60, 50, 20, 5]);
        let keep = |bytes| Policy { keep_bytes: Some(bytes), ..Policy::default() };
        assert_eq!(ages(&keep(200)), [] as [u64; 0]);
        assert_eq!(ages(&keep(199)), [50]);
        assert_eq!(ages(&keep(160)), [50, 20]);
        assert_eq!(ages(&keep(0)), [50, 20, 5]);
        let unused_for = Some(Duration::from_secs(3600 * 24));
        assert_eq!(ages(&Policy { unused_for, ..Policy::default() }), [50]);
    }
}
