use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use dfbuild_cache::{Key, file_nodes};
use dfbuild_image::{Digest, Platform, TreePath};
use dfbuild_plan::{Base, Stage, StageId, Step, StepKind, TreeSource};
use dfbuild_sandbox::IdMode;

use crate::error::Error;
use crate::event::StepInfo;
use crate::schedule::definition::{Definition, Forced};
use crate::schedule::keys::{KeyInput, SourceId, chain, step_key};
use crate::schedule::session::Session;
use crate::schedule::sources::source_digest;

impl Session<'_> {
    /// The keys of a stage by definition.
    pub(crate) fn definition(&self, id: StageId) -> Result<Arc<Definition>, Error> {
        let known = |session: &Self| {
            let known = session.definitions.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&id).cloned()
        };
        if let Some(definition) = known(self) {
            return Ok(definition);
        }
        let stage = self.graph.stage(id);
        let mut parent = match &stage.base {
            Base::Scratch => chain([]),
            Base::Image(request) => {
                chain(self.bases[request].layers.iter().map(|layer| &layer.content_id))
            }
            Base::Stage(base) => self.definition(*base)?.end,
            Base::Directory(name) => {
                let context = self.contexts.named(name);
                let walked =
                    context.walk(&TreePath::ROOT).map_err(|error| Error::image(name, error))?;
                file_nodes(&TreePath::ROOT, &walked, &mut |node, bytes| {
                    self.nodes.keep(node, bytes);
                })
            }
        };
        let start = parent;
        let (mut keys, mut all_sources) = (Vec::new(), Vec::new());
        for (at, step) in stage.steps.iter().enumerate() {
            let mut sources = Vec::new();
            for (number, source) in step.sources().into_iter().enumerate() {
                sources.push(match source {
                    TreeSource::Stage(other) => SourceId::Definition(self.definition(*other)?.end),
                    given => {
                        let handle = self.given(given);
                        let mut keep = |node, bytes| self.nodes.keep(node, bytes);
                        let tree = handle.tree();
                        let digest = source_digest(step, number, tree, &self.fetcher(), &mut keep);
                        let info = self.progress.info(id, at);
                        let digest = digest.map_err(|error| self.step_failed(info, step, error))?;
                        self.tell_of_ignored(step, tree);
                        SourceId::Files(digest)
                    }
                });
            }
            let key = step_key(step, &self.key_input(stage, true, parent, &sources));
            parent = key.digest();
            keys.push(key);
            all_sources.push(sources);
        }
        let definition = Arc::new(Definition { keys, sources: all_sources, start, end: parent });
        let mut known = self.definitions.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(known.entry(id).or_insert(definition)))
    }

    /// The keys by definition of all steps that this build has come across, stage by stage.
    pub(super) fn definition_keys(&self) -> Vec<Digest> {
        let known = self.definitions.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stages: Vec<_> = known.iter().collect();
        stages.sort_by_key(|(id, _)| **id);
        stages.into_iter().flat_map(|(_, stage)| &stage.keys).map(Key::digest).collect()
    }

    pub(super) fn key_input<'k>(
        &'k self,
        stage: &'k Stage,
        by_definition: bool,
        parent: Digest,
        sources: &'k [SourceId],
    ) -> KeyInput<'k> {
        KeyInput {
            by_definition,
            parent,
            sources,
            platform: &stage.platform,
            build: self.build,
            single_id: self.engine.id_mode() == IdMode::Single,
        }
    }

    /// The stages that steps read from, and those which they were built from.
    pub(super) fn stages_of(&self, steps: &[Step]) -> BTreeSet<StageId> {
        let sources = steps.iter().flat_map(Step::sources);
        let mut rest: Vec<StageId> = sources
            .filter_map(|source| match source {
                TreeSource::Stage(id) => Some(*id),
                _ => None,
            })
            .collect();
        let mut found = BTreeSet::new();
        while let Some(id) = rest.pop() {
            if found.insert(id) {
                rest.extend(self.graph.stage(id).needs());
            }
        }
        found
    }

    pub(super) fn reads_any(&self, step: &Step, stages: &BTreeSet<StageId>) -> bool {
        self.stages_of(std::slice::from_ref(step)).iter().any(|id| stages.contains(id))
    }

    /// The first step that cannot come from the cache without looking at its sources. Whether
    /// those before it can is only known when what they are built upon is.
    pub(super) fn first_unknown(&self, stage: &Stage, definition: &Definition) -> usize {
        let known = |(step, key): (&Step, &Key)| {
            self.forced(stage, step).is_none()
                && !self.sources_ran(step)
                && self.record(key).is_some_and(|record| self.expired(step, &record).is_none())
        };
        let steps = stage.steps.iter().zip(&definition.keys);
        steps.take_while(|pair| known(*pair)).count()
    }

    /// The first command of a stage that is not known to be in the cache, and what it runs on.
    pub(crate) fn first_command(
        &self,
        id: StageId,
    ) -> Result<Option<(&StepInfo, Platform)>, Error> {
        let stage = self.graph.stage(id);
        if !stage.runs_commands() {
            return Ok(None);
        }
        let first = self.first_unknown(stage, &*self.definition(id)?);
        let mut rest = stage.steps.iter().enumerate().skip(first);
        let found = rest.find(|(_, step)| matches!(step.kind, StepKind::Run(_)));
        Ok(found.map(|(at, _)| (self.progress.info(id, at), stage.config.platform())))
    }

    /// Why a step runs whatever is in the cache, if it does.
    pub(super) fn forced(&self, stage: &Stage, step: &Step) -> Option<Forced> {
        let build = self.build;
        if build.no_cache {
            return Some(Forced::All);
        }
        let filtered = |name: &&String| {
            name.is_empty()
                || stage.name.as_deref() == Some(name.to_lowercase().as_str())
                || **name == stage.index.to_string()
        };
        if build.no_cache_filter.iter().any(|name| filtered(&name)) {
            return Some(Forced::Stage);
        }
        let mut lines = build.no_cache_steps.iter();
        lines.any(|line| (step.lines.start..=step.lines.end).contains(line)).then_some(Forced::Step)
    }

    /// Whether a stage that the step copies from ran, or will, in this build: then only its new
    /// content decides.
    pub(super) fn sources_ran(&self, step: &Step) -> bool {
        step.sources().iter().any(|source| match source {
            TreeSource::Stage(id) => self.has_run(*id) || self.must_run(*id),
            _ => false,
        })
    }

    fn must_run(&self, id: StageId) -> bool {
        let known = &self.definitions.must_run;
        if let Some(must) = known.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return *must;
        }
        let stage = self.graph.stage(id);
        let itself = || stage.steps.iter().any(|step| self.forced(stage, step).is_some());
        let needed = || stage.needs().into_iter().any(|needed| self.must_run(needed));
        let must = itself() || self.is_old(id) || needed();
        known.lock().unwrap_or_else(PoisonError::into_inner).insert(id, must);
        must
    }

    /// Whether a command of a stage is not known to be as young as this build wants it.
    fn is_old(&self, id: StageId) -> bool {
        let stage = self.graph.stage(id);
        if self.build.cache_max_age.is_none() || !stage.runs_commands() {
            return false;
        }
        // What is wrong with a definition comes up again, at its step.
        let Ok(definition) = self.definition(id) else { return false };
        let old = |(step, key): (&Step, &Key)| {
            matches!(step.kind, StepKind::Run(_))
                && self.record(key).is_none_or(|record| self.expired(step, &record).is_some())
        };
        stage.steps.iter().zip(&definition.keys).any(old)
    }
}
