use crate::build::{Build, Built};
use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::Observer;

pub(crate) fn run(
    _build: &Build,
    _engine: &Engine,
    _observer: &dyn Observer,
    _cancel: &Cancel,
) -> Result<Built, Error> {
    Err(Error::Cancelled)
}
