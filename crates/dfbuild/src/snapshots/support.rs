use std::sync::OnceLock;

/// What the kernel lets commands have, once somebody has asked.
#[derive(Debug, Default)]
pub(crate) struct Support(OnceLock<Probed>);

/// What is there for commands, or why they cannot run.
pub(super) type Probed = Result<dfbuild_sandbox::Support, dfbuild_sandbox::Error>;

impl Support {
    /// What the kernel said, if it was asked.
    pub(super) fn known(&self) -> Option<&Probed> {
        self.0.get()
    }

    /// Keeps what it said first.
    pub(super) fn keep(&self, probed: Probed) -> &Probed {
        self.0.get_or_init(|| probed)
    }
}
