use dfbuild_image::Digest;

/// Names a step through its changes: where it stands, whatever it is made of. Two steps of one name cost
/// time and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lineage(Digest);

impl Lineage {
    /// The lineage of what is known by these parts.
    pub(crate) fn of(parts: &[&str]) -> Self {
        Self(Digest::of_texts(parts))
    }

    /// The lineage of the same layers with the times of `SOURCE_DATE_EPOCH`.
    pub(crate) fn with_other_times(self) -> Self {
        Self::of(&[&self.0.hex(), "times"])
    }

    /// Its name in the store.
    pub(crate) fn hex(self) -> String {
        self.0.hex()
    }
}
