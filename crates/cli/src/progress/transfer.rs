use std::fmt;

use dfbuild::{Digest, Event, TransferState};

use crate::units::human_size;

/// A blob of a pull or a push, for people: `sha256:4f4fb700ef54 12.1MB / 29.1MB`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    pub(super) blob: Digest,
    pub(super) size: u64,
    pub(super) state: TransferState,
}

impl Transfer {
    /// The blob that an event is about, if it is about one.
    pub(super) fn of(event: &Event) -> Option<Self> {
        match *event {
            Event::Transfer { blob, size, state, .. } => Some(Self { blob, size, state }),
            _ => None,
        }
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = human_size(self.size);
        write!(f, "sha256:{} ", self.blob.short())?;
        match self.state {
            TransferState::Moving { done } => write!(f, "{} / {size}", human_size(done)),
            TransferState::Existed => write!(f, "{size} exists"),
            TransferState::Waiting { pid } => write!(f, "{size} waiting for process {pid}"),
            TransferState::Mounted => write!(f, "{size} mounted"),
            _ => write!(f, "{size} / {size} done"),
        }
    }
}
