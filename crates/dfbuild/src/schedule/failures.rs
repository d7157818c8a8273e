use dfbuild_dockerfile::ast::MountKind;
use dfbuild_image::TreePath;
use dfbuild_plan::{CopySource, CopyStep, RunMount, Step, StepKind, TreeSource};

use crate::error::{Error, StepError};
use crate::event::StepInfo;
use crate::images::rootfs::Rootfs;
use crate::schedule::session::Session;
use crate::schedule::stage_result::step_error;
use crate::steps::copy::all_ignored;
use crate::steps::tree::Tree;
use crate::steps::users::Users;

impl Session<'_> {
    /// The error of a step, with what the build knows of its cause.
    pub(super) fn step_failed(&self, info: &StepInfo, step: &Step, mut source: StepError) -> Error {
        match (&mut source, &step.kind) {
            (StepError::NotFound { within, above, .. }, StepKind::Copy(copy)) => {
                *within = Some(self.title(&copy.from));
                *above = copy.sources.iter().any(leads_above);
            }
            (StepError::NotFound { path, within, .. }, StepKind::Run(run)) => {
                let is_it = |mount: &&RunMount| TreePath::new(&mount.source).to_string() == *path;
                let mut mounts = run.mounts.iter().filter(|mount| mount.from.is_some());
                let mount = mounts.find(is_it);
                *within = mount.and_then(|mount| Some(self.title(mount.from.as_ref()?)));
            }
            (StepError::ExitCode { missing_secrets, .. }, StepKind::Run(run)) => {
                let secrets = run.mounts.iter().filter(|mount| mount.kind == MountKind::Secret);
                let missing = secrets.filter(|mount| !self.secrets().is_set(&mount.id));
                *missing_secrets = missing.map(|mount| mount.id.clone()).collect();
            }
            _ => {}
        }
        step_error(info, source)
    }

    /// Says which patterns of a step match nothing but what is ignored: they may, and nobody means it.
    pub(super) fn tell_of_ignored(&self, step: &Step, tree: &dyn Tree) {
        let StepKind::Copy(copy) = &step.kind else { return };
        for source in &copy.sources {
            if let CopySource::Path(path) = source
                && let Some((count, rule)) = all_ignored(tree, path)
            {
                self.progress.notice(format!(
                    "line {}: {path} copies nothing: all that it matches ({count}) is ignored; {rule}",
                    step.lines.start
                ));
            }
        }
    }

    /// Says which names of a `--chown` the image does not know: what is copied is root's then, as with
    /// BuildKit, and nobody means it.
    pub(super) fn tell_of_strangers(
        &self,
        info: &StepInfo,
        copy: &CopyStep,
        rootfs: &Rootfs<'_>,
    ) -> Result<(), StepError> {
        let Some(spec) = &copy.chown else { return Ok(()) };
        for stranger in Users::read(rootfs)?.strangers(spec) {
            let line = info.line;
            self.progress.notice(format!("line {line}: there is no {stranger}: it becomes root's"));
        }
        Ok(())
    }

    /// What to call a tree of files.
    fn title(&self, source: &TreeSource) -> String {
        let (title, folder) = match source {
            TreeSource::Context => ("the build context".to_owned(), self.contexts.folder(None)),
            TreeSource::Named(name) => {
                (format!("the build context {name}"), self.contexts.folder(Some(name)))
            }
            TreeSource::Stage(id) => (format!("stage {}", self.graph.stage(*id).title()), None),
            TreeSource::Image(request) => (format!("image {}", request.name), None),
            TreeSource::Empty => ("scratch".to_owned(), None),
        };
        folder.map_or(title.clone(), |folder| format!("{title} {}", folder.display()))
    }
}

/// Whether a source has more `..` than names before them.
fn leads_above(source: &CopySource) -> bool {
    let CopySource::Path(path) = source else { return false };
    let mut depth = 0;
    path.split('/').filter(|name| !matches!(*name, "" | ".")).any(|name| {
        depth += if name == ".." { -1 } else { 1 };
        depth < 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_top() {
        for (path, expect) in [
            ("../a", true),
            ("a/../../b", true),
            ("a/../b", false),
            ("/./..", true),
            ("a..", false),
        ] {
            assert_eq!(leads_above(&CopySource::Path(path.to_owned())), expect, "{path}");
        }
    }
}
