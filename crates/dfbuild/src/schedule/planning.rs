//! From the text of a Dockerfile to the graph of its steps, with the images that it begins with.

use std::collections::BTreeMap;

use dfbuild_dockerfile::{Dockerfile, parse};
use dfbuild_image::Platform;
use dfbuild_plan::{BaseRequest, Graph, Input, NamedContext, Need, Outcome, context_key, plan};

use crate::build::Build;
use crate::contexts::Source;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::images::base_images::BaseImages;
use crate::images::base_layers::BaseLayers;
use crate::options::BuildContext;
use crate::schedule::meant::{close_stage, placed};
use crate::sharing::Imports;

/// What is to be built, and the images that it begins with, which are found on the way.
pub(super) fn make_plan(
    build: &Build,
    engine: &Engine,
    imports: &Imports,
    source: &Source,
    observer: &dyn Observer,
) -> Result<(Graph, BTreeMap<BaseRequest, BaseLayers>), Error> {
    let mut images = BaseImages::new(build, engine, imports, observer);
    let mut bases: BTreeMap<BaseRequest, BaseLayers> = BTreeMap::new();
    let parsed = parse(&source.text);
    let platforms = platforms(build);
    let mut input = plan_input(build, &parsed.dockerfile);
    // What all platforms need is asked for together.
    loop {
        let mut graphs = Vec::new();
        let mut needed: BTreeMap<BaseRequest, Need> = BTreeMap::new();
        for platform in &platforms {
            input.platform = platform.clone();
            let outcome = plan(&input).map_err(|diagnostics| Error::Dockerfile {
                name: source.name.clone(),
                text: source.text.clone(),
                diagnostics,
            })?;
            match outcome {
                Outcome::Ready(graph) => graphs.push(graph),
                Outcome::Need(requests) => needed.extend(requests),
            }
        }
        if needed.is_empty() {
            let mut graph = Graph::join(graphs);
            graph.warnings.splice(0..0, parsed.diagnostics);
            return Ok((graph, bases));
        }
        let needed: Vec<(BaseRequest, Need)> = needed.into_iter().collect();
        for (request, need) in &needed {
            let name = &request.name;
            if let Some(meant) = close_stage(&parsed.dockerfile, name, need.span)
                && images.is_elsewhere(name)
            {
                // Before a registry is asked: that can take long.
                let text = format!("no stage and no local image is called {name}: {meant}");
                observer.event(&Event::Notice { text });
                images.doubtful.insert(name.clone());
            }
        }
        let found = images.find_all(&needed);
        for ((request, need), found) in needed.into_iter().zip(found) {
            let file = &parsed.dockerfile;
            let placed = |error| placed(error, file, &source.text, &request, need.span);
            let base = found.map_err(placed)?;
            input.bases.insert(request.clone(), base.for_plan());
            bases.insert(request, base);
        }
    }
}

/// What it is built for.
pub(super) fn platforms(build: &Build) -> Vec<Platform> {
    match build.platforms.as_slice() {
        [] => vec![Platform::host()],
        given => given.to_vec(),
    }
}

/// What a plan begins with, before any image is known.
pub(super) fn plan_input<'f>(build: &Build, file: &'f Dockerfile<'f>) -> Input<'f> {
    let named = build.build_contexts.iter().map(|(name, context)| {
        let kind = match context {
            BuildContext::OciLayout(..) | BuildContext::Image(_) => NamedContext::Image,
            _ => NamedContext::Directory,
        };
        (context_key(name), kind)
    });
    Input {
        target: build.target.clone(),
        build_args: build.build_args.clone(),
        labels: build.labels.clone(),
        named_contexts: named.collect(),
        ..Input::new(file)
    }
}
