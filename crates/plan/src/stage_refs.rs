use dfbuild_dockerfile::Span;
use dfbuild_dockerfile::ast::{InstructionKind, Run, Stage};
use dfbuild_image::Reference;

/// What the instructions of a stage name as sources, found without expanding anything. Used to ask
/// for all images at once while the stage itself still waits for its base.
pub(crate) fn references(stage: Stage) -> Vec<(String, Span)> {
    let names = stage.instructions.iter().flat_map(|instruction| match &instruction.kind {
        InstructionKind::Copy(copy) => copy
            .from()
            .map(|from| (from.value.to_string(), from.span))
            .into_iter()
            .collect::<Vec<_>>(),
        InstructionKind::Run(run) => mount_sources(run),
        _ => Vec::new(),
    });
    names.collect()
}

fn mount_sources(run: &Run) -> Vec<(String, Span)> {
    let sources = run.mounts().filter_map(|mount| {
        let from = mount.resolve(&mut |value| Ok(value.to_owned())).ok()?.from?;
        Some((from, mount.text.span))
    });
    sources.collect()
}

/// The key under which a named context is found: names of images lose their defaults, so that
/// `--build-context busybox=…` also stands for `busybox:latest` and `docker.io/library/busybox`
/// (BuildKit `dockerui/namedcontext.go`).
pub fn context_key(name: &str) -> String {
    let Ok(reference) = name.parse::<Reference>() else { return name.to_owned() };
    let mut key = reference.familiar_name();
    if let Some(tag) = reference.tag.filter(|tag| tag != "latest") {
        key = format!("{key}:{tag}");
    }
    if let Some(digest) = reference.digest {
        key = format!("{key}@{digest}");
    }
    key
}

#[cfg(test)]
mod tests {
    use super::context_key;

    #[test]
    fn defaults_do_not_count() {
        for name in ["busybox", "busybox:latest", "docker.io/library/busybox"] {
            assert_eq!(context_key(name), "busybox");
        }
        assert_eq!(context_key("busybox:1"), "busybox:1");
        assert_eq!(context_key("Not An Image"), "Not An Image");
    }
}
