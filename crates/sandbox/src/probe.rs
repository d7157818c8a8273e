use std::fs;
use std::path::Path;

use crate::plan::Plan;
use crate::spawn::{describe, launch};
use crate::userns::{self, Position};
use crate::{Error, IdMode, Network, OverlayApi, Spec, Support};

/// Tries namespaces, an overlay with its upper directory in `dir`, else a plain directory there as
/// root, and `/proc`, without running anything. Takes a few milliseconds; an error says why a step
/// would be refused.
pub fn probe(dir: &Path) -> Result<Support, Error> {
    let attempt = Attempt::new(dir)?;
    let apis = [OverlayApi::Descriptors, OverlayApi::Names, OverlayApi::Options];
    let mut refusal = None;
    for api in apis {
        match attempt.run(Some(api), Network::Host) {
            Ok(()) => return Ok(Support { overlay: Ok(api) }),
            // Every kernel knows the last way, so it says best what is wrong.
            Err(error) => refusal = Some(error),
        }
    }
    attempt.run(None, Network::Host)?;
    Ok(Support { overlay: Err(refusal.expect("every attempt failed")) })
}

/// Tries [`Network::None`], with a plain directory in `dir` as root. It is apart from [`probe`] because a
/// network namespace takes the kernel longer than all the others together, and few commands ask for one.
pub fn probe_network(dir: &Path) -> Result<(), Error> {
    Attempt::new(dir)?.run(None, Network::None)
}

/// What attempts to set up a sandbox have in common.
struct Attempt {
    scratch: Scratch,
    id_mode: IdMode,
}

impl Attempt {
    fn new(dir: &Path) -> Result<Self, Error> {
        let id_mode = match userns::current()? {
            Position::Root(map) => map.mode(),
            Position::Unprivileged => IdMode::Root,
        };
        Ok(Self { scratch: Scratch::new(dir)?, id_mode })
    }

    fn run(&self, overlay: Option<OverlayApi>, network: Network) -> Result<(), Error> {
        let (upper, work) = self.scratch.directories()?;
        let spec = Spec {
            lower: overlay.map(|_| self.scratch.0.join("lower")).into_iter().collect(),
            args: vec!["/probe".into()],
            id_mode: self.id_mode,
            network,
            overlay_api: overlay.unwrap_or(OverlayApi::Auto),
            ..Spec::new(upper, work)
        };
        let mut plan = Plan::new(&spec)?;
        plan.probe = true;
        launch(&plan).map(drop).map_err(|error| describe(&spec, &plan, &error))
    }
}

/// A directory that goes away with its content.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(dir: &Path) -> Result<Self, Error> {
        let mut number = 0_u32;
        loop {
            let path = dir.join(format!(".probe-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let scratch = Self(path);
                    let lower = scratch.0.join("lower");
                    return match fs::create_dir(&lower) {
                        Ok(()) => Ok(scratch),
                        Err(source) => {
                            Err(Error::File { operation: "create", path: lower, source })
                        }
                    };
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(Error::File { operation: "create", path, source }),
            }
        }
    }

    /// New directories: an overlay's work directory is used once.
    fn directories(&self) -> Result<(std::path::PathBuf, std::path::PathBuf), Error> {
        for number in 0.. {
            let (upper, work) =
                (self.0.join(format!("u{number}")), self.0.join(format!("w{number}")));
            match fs::create_dir(&upper).and_then(|()| fs::create_dir(&work)) {
                Ok(()) => return Ok((upper, work)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => {
                    return Err(Error::File { operation: "create", path: upper, source });
                }
            }
        }
        unreachable!("the numbers do not end")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
