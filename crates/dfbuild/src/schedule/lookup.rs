use std::time::{Duration, SystemTime};

use dfbuild_cache::{Key, Record};
use dfbuild_plan::{Step, StepKind};

use crate::schedule::session::Session;
use crate::schedule::stage_result::{StageResult, seen_below};

/// What the cache has under a key.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// The result of the step.
    Hit(Record),
    /// Nothing that can be used.
    Miss(Unusable),
}

/// Why the cache cannot give the result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// There is no record under the key.
    NoRecord,
    /// The record was made on other content.
    OtherBelow,
    /// The record is there, but its layer cannot be had any more.
    LayerLost,
    /// The result is older than results may be.
    TooOld(Duration),
}

impl Session<'_> {
    /// The record of a step under one of its keys, if it was made on the same content, its layer
    /// can be had, and it is not too old.
    pub(crate) fn lookup(&self, step: &Step, key: &Key, below: &StageResult) -> Lookup {
        match self.lookup_here(step, key, below) {
            Lookup::Miss(reason) => match self.lookup_elsewhere(step, key, below) {
                Some(record) => Lookup::Hit(record),
                None => Lookup::Miss(reason),
            },
            hit @ Lookup::Hit(_) => hit,
        }
    }

    /// The record of a step in a cache that the build reads from. It is one of the store's then.
    fn lookup_elsewhere(&self, step: &Step, key: &Key, below: &StageResult) -> Option<Record> {
        let key = key.digest();
        let fits = |record: &Record| {
            record.below == seen_below(step, below) && self.expired(step, record).is_none()
        };
        let record = self.imports.take(self.engine, &key, &fits)?;
        self.engine.store().put_record(key, record.encode());
        Some(record)
    }

    fn lookup_here(&self, step: &Step, key: &Key, below: &StageResult) -> Lookup {
        let Some(record) = self.stored(key) else { return Lookup::Miss(Unusable::NoRecord) };
        if record.below != seen_below(step, below) {
            return Lookup::Miss(Unusable::OtherBelow);
        }
        if let Some(age) = self.expired(step, &record) {
            return Lookup::Miss(Unusable::TooOld(age));
        }
        if !self.engine.has_layer(&record.layer.diff_id) {
            return Lookup::Miss(Unusable::LayerLost);
        }
        Lookup::Hit(record)
    }

    /// The record under a key, whatever it is worth.
    pub(super) fn record(&self, key: &Key) -> Option<Record> {
        self.stored(key).or_else(|| self.imports.record(&key.digest()).cloned())
    }

    fn stored(&self, key: &Key) -> Option<Record> {
        Record::decode(&self.engine.store().record(&key.digest())?)
    }

    /// The age of a record, if that is more than this build takes. Only commands grow old: what
    /// others read is known by its content.
    pub(super) fn expired(&self, step: &Step, record: &Record) -> Option<Duration> {
        let limit = self.build.cache_max_age?;
        // A record of the future, by a clock that was set back since, is as good as new.
        let age = SystemTime::now().duration_since(record.created.system_time()).ok()?;
        (matches!(step.kind, StepKind::Run(_)) && age > limit).then_some(age)
    }
}
