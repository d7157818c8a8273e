//! Messages on a socket, each with bytes that need no encoding:
//!
//! ```text
//! ┌───────────────┬─────────────────┬────────────────┬───────────────┐
//! │ J: u32 little │ B: u32 little   │ J bytes: the   │ B bytes       │
//! │ endian        │ endian          │ message (JSON) │               │
//! └───────────────┴─────────────────┴────────────────┴───────────────┘
//! ```

use std::io::{self, Read};
use std::os::unix::net::UnixStream;

use rustix::net::{SendFlags, send};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes one message. A peer that is gone is an error and never a signal.
pub(super) fn write(socket: &UnixStream, message: &impl Serialize, bytes: &[u8]) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = |part: &[u8]| u32::try_from(part.len()).map_err(io::Error::other);
    let mut frame = Vec::with_capacity(8 + json.len() + bytes.len());
    frame.extend(length(&json)?.to_le_bytes());
    frame.extend(length(bytes)?.to_le_bytes());
    frame.extend(json);
    frame.extend(bytes);
    let mut rest = frame.as_slice();
    while !rest.is_empty() {
        match send(socket, rest, SendFlags::NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Reads one message; `None` if the peer is gone.
pub(super) fn read<M: DeserializeOwned>(
    mut socket: &UnixStream,
) -> io::Result<Option<(M, Vec<u8>)>> {
    let mut lengths = [0; 8];
    match socket.read_exact(&mut lengths) {
        Err(error) if is_gone(&error) => return Ok(None),
        other => other?,
    }
    let [j0, j1, j2, j3, b0, b1, b2, b3] = lengths;
    let json = part(socket, u32::from_le_bytes([j0, j1, j2, j3]))?;
    let bytes = part(socket, u32::from_le_bytes([b0, b1, b2, b3]))?;
    let (Some(json), Some(bytes)) = (json, bytes) else { return Ok(None) };
    Ok(Some((serde_json::from_slice(&json)?, bytes)))
}

/// So many bytes; `None` if the peer went away in between.
fn part(socket: &UnixStream, length: u32) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match socket.take(length.into()).read_to_end(&mut bytes) {
        Ok(read) => Ok((read as u64 == u64::from(length)).then_some(bytes)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the peer has closed its end, with or without having read all that was said.
pub(super) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Message = (String, u8);

    #[test]
    fn messages_come_as_they_went() {
        let (one, other) = UnixStream::pair().unwrap();
        write(&one, &("a", 1), b"\0\xff").unwrap();
        write(&one, &("b", 2), b"").unwrap();
        drop(one);
        assert_eq!(read::<Message>(&other).unwrap(), Some((("a".into(), 1), b"\0\xff".to_vec())));
        assert_eq!(read::<Message>(&other).unwrap(), Some((("b".into(), 2), Vec::new())));
        assert_eq!(read::<Message>(&other).unwrap(), None);
    }

    #[test]
    fn half_a_message_is_none() {
        let (one, other) = UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut &one, &[9, 0, 0, 0, 0, 0, 0, 0, b'"']).unwrap();
        drop(one);
        assert_eq!(read::<String>(&other).unwrap(), None);
    }

    #[test]
    fn who_is_gone_cannot_be_written_to() {
        let (one, other) = UnixStream::pair().unwrap();
        drop(other);
        assert_eq!(write(&one, &1, b"").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
