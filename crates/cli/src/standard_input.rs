use std::io::{self, Read};

use dfbuild::Cancel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Standard input. Waiting for somebody who writes to it ends once the work is cancelled: another
/// thread takes the signals, so that they interrupt no read.
pub(crate) struct StandardInput(pub(crate) Cancel);

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let input = io::stdin();
        loop {
            match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&TICK)) {
                Ok(0) | Err(Errno::INTR) => {}
                // Not by way of the standard library, whose buffer nobody could poll.
                Ok(_) => return Ok(rustix::io::read(&input, buffer)?),
                Err(error) => return Err(error.into()),
            }
            if self.0.is_cancelled() {
                return Err(io::Error::other("it was cancelled"));
            }
        }
    }
}
