use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::{io, process, thread};

use dfbuild::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::progress::Progress;

/// The signal that ended a build, if one did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ended(Arc<AtomicI32>);

impl Ended {
    /// What the shell expects as exit code: 128 and the signal's number; 130 for Ctrl-C.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        let signal = self.0.load(Ordering::SeqCst);
        u8::try_from(signal).ok().filter(|signal| *signal > 0).map(|signal| 128 + signal)
    }
}

/// Cancels the build at the first SIGINT or SIGTERM, and ends the process at the second. Starts a
/// thread.
pub(crate) fn watch(cancel: Cancel, progress: Arc<Progress>) -> io::Result<Ended> {
    let ended = Ended::default();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let seen = ended.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let first = seen.0.swap(signal, Ordering::SeqCst) == 0;
            if first {
                cancel.cancel();
                progress.try_note("cancelling the build; once more to end it at once");
            } else {
                end_at_once(&progress, &seen);
            }
        }
    })?;
    Ok(ended)
}

/// The processes of running steps end with this one: each hangs on a lifeline.
#[expect(clippy::exit, reason = "the second signal asks for just that")]
fn end_at_once(progress: &Progress, ended: &Ended) -> ! {
    progress.try_close();
    process::exit(ended.exit_code().map_or(130, i32::from))
}
