use crate::Error;

/// The records of a PAX extended header that say something about the member after it.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<i64>,
    pub(super) capability: Option<Vec<u8>>,
    pub(super) sparse_version: Option<(u64, u64)>,
    pub(super) sparse_name: Option<Vec<u8>>,
    pub(super) sparse_size: Option<u64>,
    /// Offsets and lengths, alternating.
    pub(super) sparse_map: Option<Vec<u64>>,
}

impl Pax {
    /// Parses `length key=value\n` after the other (POSIX.1-2008, pax). The last of equal keys
    /// wins, and an empty value takes a record back, as in Go.
    pub(super) fn parse(mut bytes: &[u8], member: &[u8]) -> Result<Self, Error> {
        let error = || Error::malformed(member, "invalid PAX records");
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let space = bytes.iter().position(|&byte| byte == b' ').ok_or_else(error)?;
            let length = decimal(&bytes[..space]).and_then(|length| usize::try_from(length).ok());
            let length = length.filter(|&length| length > space && length <= bytes.len());
            let (record, rest) = bytes.split_at(length.ok_or_else(error)?);
            let record = record[space + 1..].strip_suffix(b"\n").ok_or_else(error)?;
            let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(error)?;
            pax.set(&record[..equals], &record[equals + 1..]).ok_or_else(error)?;
            bytes = rest;
        }
        Ok(pax)
    }

    /// Takes a record; `None` if its value is invalid.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        // What other readers make of a name with a zero in it differs.
        let is_name = matches!(key, b"path" | b"linkpath" | b"GNU.sparse.name");
        if is_name && value.contains(&0) {
            return None;
        }
        let bytes = (!value.is_empty()).then(|| value.to_vec());
        let number = || if value.is_empty() { Some(None) } else { decimal(value).map(Some) };
        match key {
            b"path" => self.name = bytes,
            b"linkpath" => self.link = bytes,
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(seconds(value)?),
            b"SCHILY.xattr.security.capability" => self.capability = bytes,
            b"GNU.sparse.major" => self.sparse_version.get_or_insert_default().0 = number()??,
            b"GNU.sparse.minor" => self.sparse_version.get_or_insert_default().1 = number()??,
            b"GNU.sparse.name" => self.sparse_name = bytes,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse_size = number()?,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse_map.get_or_insert_default().push(number()??);
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|&byte| byte == b',').filter(|text| !text.is_empty());
                self.sparse_map = Some(numbers.map(decimal).collect::<Option<_>>()?);
            }
            _ => {}
        }
        Some(())
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// Whole seconds of a decimal time, rounded down.
fn seconds(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let whole = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let is_whole = fraction.iter().all(|&digit| digit == b'0');
    Some(if negative { -whole - i64::from(!is_whole) } else { whole })
}
