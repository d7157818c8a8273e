use std::time::Instant;

use dfbuild_image::Digest;
use dfbuild_layer::{Encoding, measure_cpu};

use crate::engine::Engine;
use crate::error::StepError;
use crate::event::{Event, Observer, PackingState, StepId};
use crate::images::meter::Meter;
use crate::teller::Teller;

/// A layer that is made into a blob, and who hears how far it is.
pub(crate) struct PackingTask<'a> {
    pub(crate) encoding: Encoding,
    pub(crate) meter: Meter<'a>,
    told: Told<'a>,
}

#[derive(Clone, Copy)]
struct Told<'a> {
    teller: &'a Teller,
    step: Option<StepId>,
    /// The length of the archive.
    size: u64,
}

impl Engine {
    /// Begins to pack the layer of a step, whose archive has about `size` bytes.
    pub(crate) fn packing(
        &self,
        encoding: Encoding,
        step: Option<StepId>,
        size: u64,
    ) -> PackingTask<'_> {
        let told = Told { teller: self.teller(), step, size };
        let meter = Meter::new(size, move |done| told.tell(PackingState::Moving { done }));
        PackingTask { encoding, meter, told }
    }
}

impl PackingTask<'_> {
    /// Does `work`, and tells of its beginning and its end. `blob` says what was made: a digest and a
    /// length; nothing if it has to be done in another way.
    pub(crate) fn run<T>(
        &self,
        work: impl FnOnce() -> Result<T, StepError>,
        blob: impl FnOnce(&T) -> Option<(Digest, u64)>,
    ) -> Result<T, StepError> {
        let start = Instant::now();
        self.told.tell(PackingState::Moving { done: 0 });
        let (made, cpu) = measure_cpu(work);
        let made = made?;
        if let Some((blob, blob_size)) = blob(&made) {
            let duration = start.elapsed();
            self.told.tell(PackingState::Packed { blob, blob_size, duration, cpu });
        }
        Ok(made)
    }
}

impl Told<'_> {
    fn tell(&self, state: PackingState) {
        self.teller.event(&Event::Packing { step: self.step, size: self.size, state });
    }
}
