use dfbuild_cache::ClockTimes;
use dfbuild_image::{Descriptor, Digest, Entry, Kind};

use crate::event::StepId;

/// A layer of a stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LayerRef {
    pub(crate) diff_id: Digest,
    /// Its content without times.
    pub(crate) content_id: Digest,
    /// Which of its times `SOURCE_DATE_EPOCH` replaces; `None` for a layer of a base image, which
    /// is never touched.
    pub(crate) clock: Option<ClockTimes>,
    /// The blob of a layer of a base image.
    pub(crate) blob: Option<Descriptor>,
    /// The step of this build that it is the layer of.
    pub(crate) step: Option<StepId>,
}

/// Whether the time of an entry came from a clock or from the builder.
pub(crate) fn is_clock_time(entry: &Entry, clock: &ClockTimes) -> bool {
    let from_clock = match clock {
        ClockTimes::Since(start) => entry.mtime >= *start,
        ClockTimes::At(epoch) => entry.mtime == *epoch,
        ClockTimes::Paths(paths) => paths.binary_search(&entry.path).is_ok(),
    };
    from_clock && entry.kind != Kind::Whiteout
}
