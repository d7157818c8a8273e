use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::{io, process, thread};

use dfbuild::{Cancel, Engine, Error};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// The signal that ended a build, if one did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ended {
    signal: Arc<AtomicI32>,
    watch: Option<Handle>,
}

impl Ended {
    /// Ends the watch: what comes next minds signals itself.
    pub(crate) fn release(&self) {
        self.watch.iter().for_each(Handle::close);
    }

    /// What the shell expects as exit code: 128 and the signal's number; 130 for Ctrl-C.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        let signal = self.signal.load(Ordering::SeqCst);
        u8::try_from(signal).ok().filter(|signal| *signal > 0).map(|signal| 128 + signal)
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To end cleanly; the first signal.
    End,
    /// To end at once; the second. The process is gone when the listener returns.
    EndAtOnce,
}

/// Does work with images, which the first signal ends so that it leaves nothing behind.
pub(crate) fn interruptible<T>(
    engine: &Engine,
    work: impl FnOnce(&Engine) -> Result<T, Error>,
) -> Result<T, Box<dyn StdError>> {
    let cancel = Cancel::new();
    let ended = watch(cancel.clone(), |_| {})?;
    let done = work(&engine.cancelled_by(&cancel));
    ended.release();
    match (done, ended.exit_code()) {
        (Err(Error::Cancelled), Some(code)) => Err(Interrupted { code }.into()),
        (done, _) => Ok(done?),
    }
}

/// Cancels the work at the first SIGINT or SIGTERM, and ends the process at the second. Tells
/// `listener` before. Starts a thread.
pub(crate) fn watch(
    cancel: Cancel,
    listener: impl Fn(Asked) + Send + 'static,
) -> io::Result<Ended> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let ended = Ended { signal: Arc::default(), watch: Some(signals.handle()) };
    let seen = ended.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let first = seen.signal.swap(signal, Ordering::SeqCst) == 0;
            if first {
                cancel.cancel();
                listener(Asked::End);
            } else {
                listener(Asked::EndAtOnce);
                end_at_once(&seen);
            }
        }
    })?;
    Ok(ended)
}

/// The processes of running steps end with this one: each hangs on a lifeline.
#[expect(clippy::exit, reason = "the second signal asks for just that")]
fn end_at_once(ended: &Ended) -> ! {
    process::exit(ended.exit_code().map_or(130, i32::from))
}

/// Work that a signal ended.
#[derive(Debug, thiserror::Error)]
#[error("it was cancelled")]
pub(crate) struct Interrupted {
    /// What the shell expects as exit code.
    pub(crate) code: u8,
}
