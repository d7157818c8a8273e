use dfbuild_image::TreePath;
use dfbuild_plan::WorkdirStep;

use crate::error::StepError;
use crate::images::rootfs::Rootfs;
use crate::steps::draft::{Draft, Finished, Making};
use crate::steps::users::Users;

/// The layer of a `WORKDIR`: the directory and its missing parents, owned by the user in force.
pub(crate) fn workdir(
    step: &WorkdirStep,
    rootfs: &Rootfs<'_>,
    made_at: i64,
) -> Result<Finished, StepError> {
    let (uid, gid) = match step.user.as_str() {
        "" => (0, 0),
        user => Users::read(rootfs)?.owner(user)?,
    };
    let mut draft = Draft::new(rootfs.view()?, made_at);
    let path = TreePath::new(&step.path);
    draft.make_directories(&path, Making { uid, gid, mode: 0o755 })?;
    draft.finish()
}
