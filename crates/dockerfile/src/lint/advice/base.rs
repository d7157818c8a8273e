//! `FloatingBase`.

use super::{FLOATING_BASE, found};
use crate::ast::Stage;
use crate::lint::linter::Linter;

pub(super) fn check(linter: &mut Linter, stage: Stage, is_on_stage: bool) {
    let name = stage.from().image.as_str();
    let constant = !name.contains('$') && !name.contains('@');
    if !constant || name == "scratch" || is_on_stage {
        return;
    }
    let tag = name.rsplit('/').next().and_then(|it| it.split_once(':')).map(|(_, tag)| tag);
    let detail = match tag {
        None => format!("The base image {name} has no tag, which means `latest`"),
        Some("latest") => format!("The base image {name} may become another version at any time"),
        Some(_) => return,
    };
    let help = "name a version, or a digest for builds that can be repeated";
    let mut finding = found(FLOATING_BASE, stage.header, detail, help);
    finding.span = stage.from().image.span;
    linter.advise(stage.header.comments, finding);
}
