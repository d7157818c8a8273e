use crate::engine::Engine;
use crate::error::Error;
use crate::options::SnapshotterChoice;
use crate::snapshots::support::Probed;

/// How to go on when the kernel was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Commands run over overlays.
    Overlays,
    /// Commands run in copies; a sentence says why.
    Copies(String),
}

/// What copying means.
const COPYING: &str = "so each RUN works on a copy of its root file system, which is compared with \
    what it was: the images are the same, but it takes longer and more space on the disk";

impl Engine {
    /// How commands get their root file systems. It is an error if they cannot run at all.
    pub(crate) fn roots(&self) -> Result<Roots, Error> {
        let refused = |error: &dfbuild_sandbox::Error| Error::Sandbox {
            reason: error.to_string(),
            hint: error.hint().map(ToString::to_string),
        };
        if let Some(error) = self.refusal() {
            return Err(refused(error));
        }
        let support = self.support()?.as_ref().map_err(refused)?;
        match (self.snapshotter(), &support.overlay) {
            (SnapshotterChoice::Copy, _) => {
                Ok(Roots::Copies(format!("overlays are switched off, {COPYING}")))
            }
            (_, Ok(_)) => Ok(Roots::Overlays),
            (SnapshotterChoice::Overlay, Err(error)) => Err(refused(error)),
            (SnapshotterChoice::Auto, Err(error)) => {
                Ok(Roots::Copies(format!("there are no overlays here ({error}), {COPYING}")))
            }
        }
    }

    /// Whether layers are to lie in the store as overlays take them.
    pub(crate) fn uses_overlays(&self) -> bool {
        match self.snapshotter() {
            SnapshotterChoice::Overlay => true,
            SnapshotterChoice::Copy => false,
            SnapshotterChoice::Auto => matches!(self.roots(), Ok(Roots::Overlays)),
        }
    }

    /// What the kernel lets commands have. It is asked once.
    pub(crate) fn support(&self) -> Result<&Probed, dfbuild_store::Error> {
        let known = self.known_support();
        if let Some(probed) = known.known() {
            return Ok(probed);
        }
        let staging = self.store().stage()?;
        Ok(known.keep(self.sandbox().probe(staging.path())))
    }

    /// Whether the network can be taken away from commands.
    pub(crate) fn has_own_network(&self) -> Result<bool, dfbuild_store::Error> {
        let staging = self.store().stage()?;
        Ok(self.sandbox().has_own_network(staging.path()))
    }
}
