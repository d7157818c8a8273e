use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dfbuild_remote::{Client, ClientOptions};

use crate::ending::Ending;

/// The way to registries and web servers of one build: ending the build ends what is under way.
#[derive(Debug)]
pub(crate) struct Network {
    options: ClientOptions,
    ending: Ending,
    /// Made when it is first needed: reading certificates takes longer than a cached build.
    client: OnceLock<Watched>,
}

impl Network {
    pub(crate) fn new(options: ClientOptions, ending: Ending) -> Self {
        Self { options, ending, client: OnceLock::new() }
    }

    /// The same way for another build.
    pub(crate) fn for_build(&self, ending: &Ending) -> Self {
        Self::new(self.options.clone(), ending.clone())
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Whether nothing may be fetched after all.
    pub(crate) fn is_offline(&self) -> bool {
        self.options.offline
    }

    pub(crate) fn client(&self) -> Result<&Client, dfbuild_remote::Error> {
        if let Some(watched) = self.client.get() {
            return Ok(&watched.client);
        }
        let client = Client::new(self.options.clone())?;
        Ok(&self.client.get_or_init(|| Watched::new(client, self.ending.clone())).client)
    }
}

/// A client with a thread that cancels it when the build is to end.
#[derive(Debug)]
struct Watched {
    client: Client,
    /// Dropped to tell the thread that there is nothing left to watch.
    done: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A signal handler may only set a flag, so somebody has to look at it; sooner than people notice.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Watched {
    fn new(client: Client, ending: Ending) -> Self {
        let (done, is_done) = mpsc::channel();
        let watched = client.clone();
        let look = move || {
            while is_done.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                if ending.is_near() {
                    return watched.cancel();
                }
            }
        };
        // Without a thread the build ends when its transfers do.
        let thread = thread::Builder::new().name("network".to_owned()).spawn(look).ok();
        Self { client, done: Some(done), thread }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
