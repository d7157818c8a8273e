use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::digest::common::hazmat;
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, written `sha256:` and 64 lower-case hexadecimal digits (OCI image-spec,
/// descriptor.md, "Digests").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes.as_ref()).into())
    }

    /// The digest of texts, each behind its length in bytes (64 bits, little-endian): none runs into the next.
    pub fn of_texts(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut hasher = Hasher::new();
        for text in texts {
            let text = text.as_ref();
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        hasher.finish()
    }

    /// The digest with these 32 raw bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }

    /// The first 12 hexadecimal digits, as `docker images` shows an image id.
    pub fn short(&self) -> String {
        let mut text = self.hex();
        text.truncate(12);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid digest `{text}`: expected `sha256:` and 64 lower-case hexadecimal digits")]
pub struct ParseDigestError {
    /// The text that was given.
    pub text: String,
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDigestError { text: text.to_owned() };
        let hex = text.strip_prefix("sha256:").ok_or_else(error)?.as_bytes();
        if hex.len() != 64 {
            return Err(error());
        }
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(error()),
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// An incremental SHA-256 computation.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A computation over no bytes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes.as_ref());
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }

    /// The computation so far, to be taken up again where the first bytes are the same.
    pub fn state(&self) -> Vec<u8> {
        hazmat::SerializableState::serialize(&self.0).to_vec()
    }

    /// The computation that gave this [`Hasher::state`]; `None` if none can have.
    pub fn resume(state: &[u8]) -> Option<Self> {
        let state: &hazmat::SerializedState<Sha256> = state.try_into().ok()?;
        <Sha256 as hazmat::SerializableState>::deserialize(state).ok().map(Self)
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

/// A writer that digests and counts what passes through it.
#[derive(Debug)]
#[must_use = "the digest is lost unless `finish` is called"]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    written: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Passes everything on to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(), written: 0 }
    }

    /// The inner writer, the digest and the number of bytes written.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hasher.finish(), self.written)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_do_not_run_into_each_other() {
        let framed = Digest::of(b"\x01\0\0\0\0\0\0\0a\0\0\0\0\0\0\0\0");
        assert_eq!(Digest::of_texts(["a", ""]), framed);
        assert_ne!(Digest::of_texts(["a", "b"]), Digest::of_texts(["ab", ""]));
    }

    #[test]
    fn text_round_trips() {
        let digest = Digest::of(b"abc");
        // FIPS 180-2, appendix B.1.
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(digest.short(), "ba7816bf8f01");
    }

    #[test]
    fn bad_text_is_refused() {
        for text in ["", "sha256:", "md5:00", "sha512:ab", &format!("sha256:{}", "G".repeat(64))] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_computation_is_taken_up_again_anywhere() {
        let bytes: Vec<u8> = (0..=255).collect();
        for at in [0, 1, 63, 64, 65, 128, 200] {
            let mut hasher = Hasher::new();
            hasher.update(&bytes[..at]);
            let mut hasher = Hasher::resume(&hasher.state()).unwrap();
            hasher.update(&bytes[at..]);
            assert_eq!(hasher.finish(), Digest::of(&bytes), "{at}");
        }
        assert!(Hasher::resume(b"short").is_none());
    }

    #[test]
    fn writer_digests_what_it_passes_on() {
        let mut writer = HashingWriter::new(Vec::new());
        writer.write_all(b"ab").unwrap();
        writer.write_all(b"c").unwrap();
        let (inner, digest, written) = writer.finish();
        assert_eq!((inner.as_slice(), digest, written), (&b"abc"[..], Digest::of("abc"), 3));
    }
}
