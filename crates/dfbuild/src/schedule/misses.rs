use std::collections::HashSet;
use std::sync::Arc;

use dfbuild_cache::{
    BaseNote, Change, Earlier, FilesChange, Key, Label, Missed, Note, Part, Reason, Record,
    files_change, nearest,
};
use dfbuild_image::Digest;
use dfbuild_plan::{Base, StageId, Step, TreeSource};

use crate::event::StepId;
use crate::redact::Redaction;
use crate::schedule::declared::declared;
use crate::schedule::definition::Forced;
use crate::schedule::keys::text_name;
use crate::schedule::last_build::LastBuild;
use crate::schedule::lookup::Unusable;
use crate::schedule::session::Session;
use crate::schedule::sources::{Handle, selected_paths};
use crate::schedule::stage_result::StageResult;
use crate::sharing::revealed;

/// A step that does not come from the cache.
pub(super) struct Miss<'a> {
    pub(super) id: StageId,
    pub(super) at: usize,
    pub(super) step: &'a Step,
    /// Its key by content, as far as that is known.
    pub(super) key: &'a Key,
    pub(super) handles: &'a [Handle<'a>],
    /// The stages among its sources.
    pub(super) sources: &'a [Option<Arc<StageResult>>],
    pub(super) below: &'a StageResult,
    pub(super) forced: Option<Forced>,
    pub(super) unusable: Option<Unusable>,
}

/// Why, and what it cost the last time.
pub(super) struct Told {
    pub(super) reasons: Vec<Reason>,
    /// How long it ran, in milliseconds.
    pub(super) milliseconds: Option<u64>,
    /// The step whose running is a reason.
    pub(super) dragged_by: Option<StepId>,
}

impl Session<'_> {
    /// Everything that keeps a step from being cached.
    pub(super) fn tell(&self, miss: &Miss<'_>) -> Told {
        let base = self.base_note(miss.id);
        let stages = self.running_sources(miss);
        let below = miss.below.ran_step.map(|step| self.progress.line(step));
        let missed = Missed {
            key: miss.key,
            base: &base,
            after: &self.text_before(miss.id, miss.at),
            below,
            stages: &stages,
            files: &|old, new| self.files_of(miss, old, new),
        };
        if miss.forced.is_none() {
            self.imports.take_notes(self.engine);
        }
        let RunsBefore { own, beside, elsewhere } = self.runs_before(miss);
        let own = nearest(&missed, &own).or_else(|| {
            let elsewhere = nearest(&missed, &elsewhere);
            elsewhere.filter(|(_, reasons)| !reasons.iter().any(is_of_others))
        });
        let is_other = own.as_ref().is_some_and(|(_, reasons)| reasons.iter().any(is_another));
        let compared = if is_other {
            let beside = nearest(&missed, &beside);
            let beside = beside.filter(|(_, reasons)| !reasons.iter().any(is_another));
            beside.or_else(|| own.filter(|_| self.has_as_many_steps(miss.id)))
        } else {
            own
        };
        let milliseconds = compared.as_ref().map(|(note, _)| note.milliseconds);
        let mut reasons = match (miss.forced, miss.unusable, compared) {
            (Some(Forced::All), ..) => vec![Reason::NoCache],
            (Some(Forced::Stage), ..) => vec![Reason::NoCacheFilter],
            (Some(Forced::Step), ..) => vec![Reason::NoCacheStep],
            (_, Some(Unusable::TooOld(age)), _) => vec![Reason::TooOld { seconds: age.as_secs() }],
            (_, Some(Unusable::LayerLost), _) => vec![Reason::LayerLost],
            (.., None) => vec![Reason::New],
            (.., Some((_, reasons))) if reasons.is_empty() => vec![Reason::RecordLost],
            (.., Some((_, reasons))) => reasons,
        };
        self.finish_reasons(miss, &mut reasons);
        let source = miss.sources.iter().flatten().find_map(|source| source.ran_step);
        let dragged_by = reasons.iter().find_map(|reason| match reason {
            Reason::Below { .. } => miss.below.ran_step,
            Reason::Stage { .. } => source,
            _ => None,
        });
        Told { reasons, milliseconds, dragged_by }
    }

    /// Adds where variables are set, and hides what must not be shown.
    fn finish_reasons(&self, miss: &Miss<'_>, reasons: &mut [Reason]) {
        let redaction = Redaction::of(self.secrets());
        let hide = |text: &str| {
            let mut stream = redaction.stream();
            let mut shown = stream.next(text.as_bytes());
            shown.extend(stream.finish());
            String::from_utf8_lossy(&shown).into_owned()
        };
        let lineage = self.graph.lineage(miss.id);
        let lineage: Vec<_> = lineage.into_iter().map(|id| self.graph.stage(id)).collect();
        for reason in reasons {
            reason.change_texts(&hide);
            if let Reason::Variable { name, declared: place, .. } = reason {
                *place = declared(self.dockerfile, &lineage, miss.step.lines.start, name);
            }
        }
    }

    /// The stages that a step reads from and whose new files are not known, with the names of their
    /// parts in the key.
    fn running_sources(&self, miss: &Miss<'_>) -> Vec<(String, String)> {
        let sources = miss.step.sources().into_iter().zip(miss.sources).enumerate();
        let running = sources.filter_map(|(number, (source, stage))| {
            let TreeSource::Stage(id) = source else { return None };
            let unknown = stage.as_ref().is_some_and(|stage| stage.unknown);
            let part = part_name(miss.step, number);
            unknown.then(|| (self.graph.stage(*id).title(), part))
        });
        running.collect()
    }

    /// How the files of two parts of keys differ.
    fn files_of(&self, miss: &Miss<'_>, old: &Part, new: &Part) -> FilesChange {
        let (Ok(before), Ok(now)) = (old.value.parse::<Digest>(), new.value.parse()) else {
            return FilesChange::default();
        };
        let number = (0..miss.handles.len()).find(|at| part_name(miss.step, *at) == new.name);
        let handle = number.and_then(|number| Some((number, miss.handles.get(number)?)));
        let paths = handle
            .map(|(number, handle)| selected_paths(miss.step, number, handle, &self.fetcher()));
        let load =
            |digest: &Digest| self.nodes.get(digest).or_else(|| self.engine.store().object(digest));
        let mut change = files_change(&before, &now, &paths.unwrap_or_default(), &load);
        let Some((number, handle)) = handle else { return change };
        let source = miss.step.sources().into_iter().nth(number);
        change.in_context = matches!(source, Some(TreeSource::Context | TreeSource::Named(_)));
        for file in &mut change.files {
            let path = file.path.as_str().into();
            if file.changes == [Change::Removed] && handle.tree().ignored_by(&path).is_some() {
                file.changes = vec![Change::Ignored];
            }
        }
        change
    }

    /// Notes what a step depended on that has just run. Failing to costs explanations and nothing
    /// else.
    pub(super) fn note(&self, miss: &Miss<'_>, record: &Record) -> Option<Digest> {
        let note = Note {
            key: miss.key.clone(),
            base: self.base_note(miss.id),
            after: self.text_before(miss.id, miss.at),
            created: record.created,
            milliseconds: record.milliseconds,
        };
        let store = self.engine.store();
        let bytes = note.encode();
        let digest = Digest::of(&bytes);
        let files = note.key.parts().iter().filter(|part| part.label == Label::SourceFiles);
        let save = || -> Result<(), dfbuild_store::Error> {
            for part in files {
                if let Ok(digest) = part.value.parse() {
                    self.nodes.save(&digest, store)?;
                }
            }
            store.put_object(&digest, &bytes)?;
            let names = self.names(miss.id, miss.at, miss.step);
            names.iter().try_for_each(|name| store.add_history(name, digest))
        };
        save().ok().map(|()| digest)
    }

    /// Remembers of a step from the cache what it depended on, if nothing is known of its place in
    /// this Dockerfile: it ran in another one.
    pub(super) fn note_place(&self, id: StageId, at: usize, step: &Step, record: &Record) {
        let Some(note) = record.note.filter(|_| self.runs) else { return };
        let [place, ..] = self.names(id, at, step);
        let store = self.engine.store();
        if !store.has_history(&place) {
            // What is not remembered costs an explanation and nothing else.
            let _ = store.add_history(&place, note);
        }
    }

    /// What is known of the runs of a step.
    fn runs_before(&self, miss: &Miss<'_>) -> RunsBefore {
        let store = self.engine.store();
        let [place, text, anywhere] = self.names(miss.id, miss.at, miss.step);
        let others = self.text_notes.get_or_init(|| self.text_notes());
        // An instruction that was put in before others did not become what stood there.
        let has_moved = |digest: &Digest| {
            others.iter().any(|(text, notes)| *text != miss.step.text && notes.contains(digest))
        };
        let at = |place: &Digest| {
            let mut digests = store.history(place);
            digests.retain(|digest| !has_moved(digest));
            digests
        };
        let of_text = store.history(&text).into_iter();
        let beside = [miss.at.checked_sub(1), miss.at.checked_add(1)].into_iter().flatten();
        let last = self.last_notes.get_or_init(|| self.last_notes());
        let beside = beside.flat_map(|beside| at(&self.names(miss.id, beside, miss.step)[0]));
        // Not what has only just run.
        let beside = beside.filter(|digest| last.contains(digest));
        let run = |digest: &Digest| {
            let note = Note::decode(&store.object(digest)?)?;
            let used = last.iter().position(|known| known == digest);
            Some(Earlier { note: revealed(note, miss.key), used })
        };
        let runs = |digests: Vec<Digest>| {
            let mut seen = HashSet::new();
            digests.iter().filter(|digest| seen.insert(**digest)).filter_map(run).collect()
        };
        RunsBefore {
            own: runs(of_text.chain(at(&place)).collect()),
            beside: runs(beside.collect()),
            elsewhere: runs(store.history(&anywhere)),
        }
    }

    /// Whether a stage has neither more nor fewer steps than in the last build: what stands where another
    /// instruction stood is what was made of it, however different.
    fn has_as_many_steps(&self, id: StageId) -> bool {
        let Some(last) = LastBuild::read(self.engine, &self.contexts.project()) else {
            return true;
        };
        let stage = self.graph.stage(id);
        let title = stage.title();
        let steps = last.explanation.steps.iter().filter(|step| step.stage == title);
        steps.count() == stage.steps.len()
    }

    /// The notes of the steps of this Dockerfile, by their text.
    fn text_notes(&self) -> Vec<(String, Vec<Digest>)> {
        let stages = self.graph.stages.iter().enumerate();
        let steps = stages.flat_map(|(id, stage)| {
            stage.steps.iter().enumerate().map(move |(at, step)| (StageId(id), at, step))
        });
        let notes = steps.map(|(id, at, step)| {
            let [_, text, _] = self.names(id, at, step);
            (step.text.clone(), self.engine.store().history(&text))
        });
        notes.collect()
    }

    /// What a step is the same by: its place in this Dockerfile, its text in it, and its text in
    /// any.
    fn names(&self, id: StageId, at: usize, step: &Step) -> [Digest; 3] {
        let stage = self.graph.stage(id);
        let (project, platform) = (self.contexts.project().to_string(), stage.platform.to_string());
        let place = format!("{} {at}", stage.title());
        [
            Digest::of_texts(["place", &project, &platform, &place]),
            Digest::of_texts(["text", &project, &platform, &step.text]),
            text_name(&step.text),
        ]
    }

    fn base_note(&self, id: StageId) -> BaseNote {
        let first = self.graph.lineage(id)[0];
        match &self.graph.stage(first).base {
            Base::Image(request) => {
                BaseNote { name: request.name.clone(), digest: self.bases[request].digest }
            }
            Base::Directory(name) => {
                let digest = self.definition(first).map_or(Digest::of(""), |it| it.start);
                BaseNote { name: name.clone(), digest }
            }
            Base::Scratch | Base::Stage(_) => {
                BaseNote { name: String::new(), digest: Digest::of("") }
            }
        }
    }

    /// The text of the step before one, in its stage or in those that it is built upon.
    fn text_before(&self, id: StageId, at: usize) -> String {
        let stage = self.graph.stage(id);
        match (at.checked_sub(1), &stage.base) {
            (Some(before), _) => stage.steps[before].text.clone(),
            (None, Base::Stage(base)) => {
                self.text_before(*base, self.graph.stage(*base).steps.len())
            }
            (None, _) => String::new(),
        }
    }
}

/// What is known of earlier runs of a step.
struct RunsBefore {
    /// Of its text or its place in this Dockerfile.
    own: Vec<Earlier>,
    /// Of the places above and below.
    beside: Vec<Earlier>,
    /// Of its text in any Dockerfile: that of another checkout, of another machine, or of something else.
    elsewhere: Vec<Earlier>,
}

/// Whether a reason tells a step of some other project: `COPY . .` is in most of them.
fn is_of_others(reason: &Reason) -> bool {
    match reason {
        Reason::OtherBelow => true,
        // Another umask changes all files of a checkout, but not what is in them.
        Reason::Files { change, .. } => {
            let is_other =
                |it: &Change| matches!(it, Change::Added | Change::Removed | Change::Content);
            change.differ * 2 > change.total
                && change.files.iter().any(|file| file.changes.iter().any(is_other))
        }
        _ => false,
    }
}

/// Whether a command has hardly a word of the one that it is compared with.
fn is_another(reason: &Reason) -> bool {
    let Reason::Command { old, new } = reason else { return false };
    let (old, new): (Vec<&str>, Vec<&str>) =
        (old.split_whitespace().collect(), new.split_whitespace().collect());
    let shared = new.iter().filter(|word| old.contains(word)).count();
    old.first() != new.first() && shared * 3 < old.len().max(new.len())
}

/// What the key calls the files of source `number`: the target of its mount.
fn part_name(step: &Step, number: usize) -> String {
    match &step.kind {
        dfbuild_plan::StepKind::Run(run) => {
            let mut mounts = run.mounts.iter().filter(|mount| mount.from.is_some());
            mounts.nth(number).map(|mount| mount.target.clone()).unwrap_or_default()
        }
        _ => String::new(),
    }
}
