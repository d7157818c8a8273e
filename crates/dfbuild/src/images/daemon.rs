//! Images to a Docker or a podman that runs on this machine.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use dfbuild_image::MediaType;
use serde_json::Value;

use crate::engine::Engine;
use crate::error::Error;
use crate::event::Observer;

impl Engine {
    /// Hands images to the daemon behind a socket, with Docker's API (`POST /images/load`), which
    /// podman has too. All of their layers are sent: that API has no way to ask which ones the
    /// daemon has. Returns what the daemon says of it.
    ///
    /// ```no_run
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use std::path::Path;
    ///
    /// Build::new("project").tag("app").run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let answer = engine.load_into_daemon(Path::new("/run/docker.sock"), &["app"], &|_: &Event| {})?;
    /// println!("{answer}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load_into_daemon(
        &self,
        socket: &Path,
        names: &[impl AsRef<str>],
        observer: &dyn Observer,
    ) -> Result<String, Error> {
        let failed = |error: io::Error| Error::Transfer {
            action: "load into the daemon at".into(),
            name: socket.display().to_string(),
            reason: error.to_string(),
            hint: None,
            source: Some(Box::new(error)),
        };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        let mut request = BufWriter::with_capacity(1 << 20, &stream);
        write!(
            request,
            "POST /images/load?quiet=1 HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n"
        )
        .map_err(failed)?;
        let mut body = Chunked(request);
        let sent = self.save_to(names, None, &mut body, observer);
        if let Err(error) = sent {
            // A daemon that refuses says why before it hangs up.
            return Err(match answer(&stream) {
                Err(refused) if refused.kind() == io::ErrorKind::Other => {
                    self.refused(names, failed(refused))
                }
                _ => error,
            });
        }
        body.finish().map_err(failed)?;
        answer(&stream).map_err(|error| self.refused(names, failed(error)))
    }

    /// The error with what may be the reason. What a daemon says of a compression that it does not know
    /// is no help: `unexpected EOF`.
    fn refused(&self, names: &[impl AsRef<str>], mut error: Error) -> Error {
        let is_zstd = |name: &str| {
            let local = self.local_image(name).ok()?;
            let platforms = self.local_platforms(&local.top).ok()?;
            let mut layers = platforms.iter().flat_map(|platform| &platform.layers);
            Some(layers.any(|layer| *layer.media_type() == MediaType::ImageLayerZstd))
        };
        if let Error::Transfer { hint, .. } = &mut error
            && names.iter().any(|name| is_zstd(name.as_ref()) == Some(true))
        {
            *hint = Some(
                "its layers are zstd, which Docker reads since version 23: \
                 `compression=gzip` makes others"
                    .to_owned(),
            );
        }
        error
    }
}

/// The body of a request whose length is not known before (RFC 9112, 7.1).
struct Chunked<W: Write>(W);

impl<W: Write> Chunked<W> {
    fn finish(mut self) -> io::Result<()> {
        self.0.write_all(b"0\r\n\r\n")?;
        self.0.flush()
    }
}

impl<W: Write> Write for Chunked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            write!(self.0, "{:x}\r\n", bytes.len())?;
            self.0.write_all(bytes)?;
            self.0.write_all(b"\r\n")?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Reads the answer to its end: messages, one JSON object each, of which one may be an error.
fn answer(stream: impl Read) -> io::Result<String> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status: u16 = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    let mut chunked = false;
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        let line = line.to_ascii_lowercase();
        chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
    }
    let mut body = Vec::new();
    if chunked {
        read_chunks(&mut stream, &mut body)?;
    } else {
        stream.read_to_end(&mut body)?;
    }
    let mut said = String::new();
    for message in serde_json::Deserializer::from_slice(&body).into_iter::<Value>() {
        let Ok(message) = message else { break };
        if let Some(error) = message["error"].as_str() {
            return Err(io::Error::other(error.trim().to_owned()));
        }
        if status >= 400
            && let Some(text) = message["message"].as_str()
        {
            return Err(io::Error::other(text.trim().to_owned()));
        }
        said.push_str(message["stream"].as_str().unwrap_or_default());
    }
    if status != 200 {
        return Err(io::Error::other(format!("it answers with HTTP status {status}")));
    }
    Ok(said)
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if size == 0 {
            return Ok(());
        }
        if stream.by_ref().take(size).read_to_end(body)? as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.clear();
        stream.read_line(&mut line)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let plain = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n{\"stream\":\"Loaded image: a\\n\"}\n";
        assert_eq!(answer(plain.as_bytes()).unwrap(), "Loaded image: a\n");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       e\r\n{\"stream\":\"a\"}\r\nd;x\r\n{\"stream\":\"b\"\r\n1\r\n}\r\n0\r\n\r\n";
        assert_eq!(answer(chunked.as_bytes()).unwrap(), "ab");
        for (text, expect) in [
            ("HTTP/1.1 500 X\r\n\r\n{\"message\":\"no space\"}", "no space"),
            ("HTTP/1.1 200 OK\r\n\r\n{\"errorDetail\":{},\"error\":\"bad tar\"}", "bad tar"),
            ("HTTP/1.1 404 X\r\n\r\nnot here", "it answers with HTTP status 404"),
            ("", "it answers with HTTP status 0"),
        ] {
            assert_eq!(answer(text.as_bytes()).unwrap_err().to_string(), expect);
        }
    }

    #[test]
    fn bodies_without_a_length() {
        let mut bytes = Vec::new();
        let mut body = Chunked(&mut bytes);
        body.write_all(b"hello").unwrap();
        body.write_all(b"").unwrap();
        body.finish().unwrap();
        assert_eq!(bytes, b"5\r\nhello\r\n0\r\n\r\n");
    }
}
