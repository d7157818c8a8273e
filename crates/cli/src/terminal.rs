//! A terminal for a command: what is typed goes to it, what it writes is shown.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// The side of a new terminal that is not the command's.
pub(crate) struct Terminal {
    master: Arc<OwnedFd>,
    /// How the caller's own terminal was set.
    before: Option<Termios>,
    shown: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Makes a terminal as large as the caller's, and returns the command's side with it.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        let terminal = Self { master: Arc::new(master), before: None, shown: None };
        terminal.resizer().resize();
        Ok((terminal, slave))
    }

    /// What makes the terminal as large as the caller's is now.
    pub(crate) fn resizer(&self) -> Resizer {
        Resizer(Arc::clone(&self.master))
    }

    /// Begins to pass on what the command writes and, if `interactive`, what is typed. The caller's
    /// terminal passes on every key from now on, Ctrl-C among them.
    pub(crate) fn connect(&mut self, interactive: bool) -> io::Result<()> {
        let mut output = File::from(self.master.try_clone()?);
        self.shown = Some(thread::spawn(move || copy(&mut output, &mut io::stdout())));
        if !interactive {
            return Ok(());
        }
        let stdin = io::stdin();
        if stdin.is_terminal() {
            let before = tcgetattr(&stdin)?;
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(&stdin, OptionalActions::Now, &raw)?;
            self.before = Some(before);
        }
        let mut input = File::from(self.master.try_clone()?);
        // Ends with the process: nothing ends a read of standard input.
        thread::spawn(move || {
            copy(&mut io::stdin(), &mut input);
            let _ = input.write_all(END_OF_TRANSMISSION);
        });
        Ok(())
    }

    /// Waits until everything that the command wrote is shown, and leaves the caller's terminal as it
    /// was. To be called when nobody has the command's side any more.
    pub(crate) fn close(mut self) {
        if let Some(shown) = self.shown.take() {
            let _ = shown.join();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        }
    }
}

/// What a terminal makes of Ctrl-D: the end of what is typed.
const END_OF_TRANSMISSION: &[u8] = &[4];

/// Makes a terminal as large as the caller's.
#[derive(Clone)]
pub(crate) struct Resizer(Arc<OwnedFd>);

impl Resizer {
    pub(crate) fn resize(&self) {
        const USUAL: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let sides =
            [io::stdout().as_fd().try_clone_to_owned(), io::stdin().as_fd().try_clone_to_owned()];
        let size = sides.into_iter().flatten().find_map(|side| tcgetwinsize(side).ok());
        let size = size.filter(|size| size.ws_row > 0 && size.ws_col > 0);
        let _ = tcsetwinsize(&*self.0, size.unwrap_or(USUAL));
    }
}

/// Passes on what comes as it comes. A terminal whose other side is gone gives an error, which is the
/// end.
fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
