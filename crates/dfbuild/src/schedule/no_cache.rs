//! Whether the steps and stages that are to run whatever is cached are there.

use dfbuild_dockerfile::{parse, suggest};
use dfbuild_plan::Graph;

use crate::build::Build;
use crate::contexts::Source;
use crate::error::Error;
use crate::schedule::meant::stage_names;

/// The lines whose steps are to run must have some.
pub(super) fn check_lines(build: &Build, source: &Source, graph: &Graph) -> Result<(), Error> {
    let has_step = |line: &usize| {
        let mut steps = graph.stages.iter().flat_map(|stage| &stage.steps);
        steps.any(|step| (step.lines.start..=step.lines.end).contains(line))
    };
    match build.no_cache_steps.iter().find(|line| !has_step(line)) {
        None => Ok(()),
        Some(line) => Err(Error::Option {
            option: format!("--no-cache-step={}:{line}", source.name),
            reason: "this build has no RUN, COPY, ADD or WORKDIR at that line".to_owned(),
        }),
    }
}

/// What to say of stages that are to run and are not in the file. BuildKit says nothing.
pub(super) fn unknown_stages(build: &Build, source: &Source) -> Vec<String> {
    let parsed = parse(&source.text);
    let count = parsed.dockerfile.stages().len();
    let names: Vec<&str> = stage_names(&parsed.dockerfile).map(|name| &*name.value).collect();
    let is_known = |name: &str| {
        name.is_empty()
            || names.contains(&name.to_lowercase().as_str())
            || name.parse::<usize>().is_ok_and(|index| index < count)
    };
    let unknown = build.no_cache_filter.iter().filter(|name| !is_known(name));
    let told = unknown.map(|name| {
        let close = suggest::closest(&name.to_lowercase(), names.iter().copied());
        let meant = close.map(|close| format!("; did you mean {close}?")).unwrap_or_default();
        format!("--no-cache-filter={name}: there is no such stage{meant}")
    });
    told.collect()
}
