use dfbuild_image::{Entry, Kind, TreePath};
use tar::{EntryType, Header};

use crate::cutter::HEADER;

/// The header of `entry` in the archive of a layer, with PAX records before it where they are
/// needed: the bytes that Go's `archive/tar` makes of what containerd gives it.
///
/// ```text
/// name[100] mode[8] uid[8] gid[8] size[12] mtime[12] checksum[8] type[1] link[100]
/// "ustar\0" "00" user[32] group[32] major[8] minor[8] prefix[155] 0[12]
/// ```
pub(crate) fn header(entry: &Entry) -> Vec<u8> {
    let mut name = entry.path.as_bytes().to_vec();
    let mut link: &[u8] = b"";
    let mut size = 0;
    let mut device = (0, 0);
    let kind = match &entry.kind {
        Kind::Directory { .. } => {
            name.extend_from_slice(if name.is_empty() { b"./" } else { b"/" });
            EntryType::Directory
        }
        Kind::File { size: length, .. } => {
            size = *length;
            EntryType::Regular
        }
        Kind::Symlink { target } => {
            link = target;
            EntryType::Symlink
        }
        Kind::HardLink { target } => {
            link = target.as_bytes();
            EntryType::Link
        }
        Kind::CharDevice { major, minor } => {
            device = (*major, *minor);
            EntryType::Char
        }
        Kind::BlockDevice { major, minor } => {
            device = (*major, *minor);
            EntryType::Block
        }
        Kind::Fifo => EntryType::Fifo,
        Kind::Whiteout => {
            let hidden = [b".wh.", entry.path.name().unwrap_or_default()].concat();
            return marker(entry.path.parent().unwrap_or_default().join(hidden).as_bytes());
        }
    };

    let mut records = Vec::new();
    let mut header = blank(kind);
    // The order of the records is that of their keys.
    if let Some(value) = &entry.capability {
        record(&mut records, b"SCHILY.xattr.security.capability", value);
    }
    number(&mut header.as_old_mut().gid, entry.gid.into(), "gid", &mut records);
    if !fits(link) {
        record(&mut records, b"linkpath", link);
    }
    text(&mut header.as_old_mut().linkname, &ascii(link));
    number(&mut header.as_old_mut().mtime, entry.mtime, "mtime", &mut records);
    if !fits(&name) {
        record(&mut records, b"path", &name);
    }
    text(&mut header.as_old_mut().name, &ascii(&name));
    let size = i64::try_from(size).expect("no file system holds larger files");
    number(&mut header.as_old_mut().size, size, "size", &mut records);
    number(&mut header.as_old_mut().uid, entry.uid.into(), "uid", &mut records);
    octal(&mut header.as_old_mut().mode, entry.mode.into());
    devices(&mut header, device);

    let mut bytes = Vec::with_capacity(512);
    if !records.is_empty() {
        bytes = extension(&name, &records);
    }
    bytes.extend_from_slice(&seal(header));
    bytes
}

/// The length of [`header`], for most entries without making it.
pub(crate) fn header_length(entry: &Entry) -> usize {
    let needs_no_records = fits(entry.path.as_bytes())
        // Directories end in a slash.
        && entry.path.as_bytes().len() < 100
        && matches!(entry.kind, Kind::Directory { .. } | Kind::File { size: 0..=MOST_SIZE, .. })
        && entry.capability.is_none()
        && entry.uid <= MOST_ID
        && entry.gid <= MOST_ID
        && (0..=MOST_SIZE.cast_signed()).contains(&entry.mtime);
    if needs_no_records { HEADER } else { header(entry).len() }
}

/// The largest number in eleven octal digits.
const MOST_SIZE: u64 = (1 << 33) - 1;
/// The largest number in seven.
const MOST_ID: u32 = (1 << 21) - 1;

/// The header of `directory/.wh..wh..opq`, which hides what the layers below have in a directory.
pub(crate) fn opaque_marker(directory: &TreePath) -> Vec<u8> {
    marker(directory.join(".wh..wh..opq").as_bytes())
}

/// The header of an empty file. containerd leaves the format of these open, so that Go prefers to
/// split a long name over a PAX record.
fn marker(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut header = blank(EntryType::Regular);
    if let Some((prefix, rest)) = split(name) {
        let ustar = header.as_ustar_mut().expect("it was made as one");
        text(&mut ustar.prefix, prefix);
        text(&mut ustar.name, rest);
    } else {
        if !fits(name) {
            let mut records = Vec::new();
            record(&mut records, b"path", name);
            bytes = extension(name, &records);
        }
        text(&mut header.as_old_mut().name, &ascii(name));
    }
    octal(&mut header.as_old_mut().mode, 0);
    octal(&mut header.as_old_mut().uid, 0);
    octal(&mut header.as_old_mut().gid, 0);
    octal(&mut header.as_old_mut().size, 0);
    devices(&mut header, (0, 0));
    bytes.extend_from_slice(&seal(header));
    bytes
}

/// The member that holds the PAX `records` of the member `name`, padded.
fn extension(name: &[u8], records: &[u8]) -> Vec<u8> {
    let slash = name.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let own_name = [&name[..slash], b"PaxHeaders.0/", &name[slash..]].concat();
    let mut own_name = ascii(&own_name);
    own_name.truncate(100);
    let end = own_name.iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);

    let mut header = blank(EntryType::XHeader);
    let old = header.as_old_mut();
    text(&mut old.name, &own_name[..end]);
    for field in [&mut old.mode, &mut old.uid, &mut old.gid] {
        octal(field, 0);
    }
    octal(&mut old.size, records.len() as u64);
    let mut bytes = seal(header).to_vec();
    bytes.extend_from_slice(records);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// `length key=value\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut length = rest + digits(rest);
    if digits(length) != digits(rest) {
        length = rest + digits(length);
    }
    records.extend_from_slice(length.to_string().as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        records.extend_from_slice(part);
    }
}

fn blank(kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header
}

/// The bytes of `header` with its checksum, in the form of POSIX: six digits, zero, space.
fn seal(mut header: Header) -> [u8; 512] {
    header.as_old_mut().cksum = [b' '; 8];
    let sum: u64 = header.as_bytes().iter().map(|&byte| u64::from(byte)).sum();
    octal(&mut header.as_old_mut().cksum[..7], sum);
    *header.as_bytes()
}

fn devices(header: &mut Header, (major, minor): (u32, u32)) {
    let ustar = header.as_ustar_mut().expect("it was made as one");
    octal(&mut ustar.dev_major, major.into());
    octal(&mut ustar.dev_minor, minor.into());
}

/// Writes `value` if its octal digits fit, otherwise zero and a record.
fn number(field: &mut [u8], value: i64, key: &str, records: &mut Vec<u8>) {
    match u64::try_from(value) {
        Ok(value) if value < 1 << (3 * (field.len() - 1)) => octal(field, value),
        _ => {
            octal(field, 0);
            record(records, key.as_bytes(), value.to_string().as_bytes());
        }
    }
}

/// All of `field` in octal digits, the last byte zero.
fn octal(field: &mut [u8], mut value: u64) {
    let (last, digits) = field.split_last_mut().expect("no field is empty");
    *last = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value & 7).expect("three bits");
        value >>= 3;
    }
}

/// Copies what fits. A field that is cut off must not end in a slash: some readers would take the
/// file for a directory.
fn text(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
    if value.len() > field.len() && field[length - 1] == b'/' {
        let end = field[..length - 1].iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
        field[end] = 0;
    }
}

fn fits(value: &[u8]) -> bool {
    value.len() <= 100 && value.is_ascii()
}

fn ascii(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(u8::is_ascii).collect()
}

/// Splits a name over 100 bytes for the prefix and name fields of ustar.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= 100 || !name.is_ascii() {
        return None;
    }
    let slash = name[..name.len().min(156)].iter().rposition(|&byte| byte == b'/')?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (!prefix.is_empty() && !rest.is_empty() && rest.len() <= 100).then_some((prefix, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reader of another crate takes an entry for: path, size, owner, group.
    fn read_back(entry: &Entry) -> (Vec<u8>, u64, u64, u64) {
        let bytes = header(entry);
        let mut archive = tar::Archive::new(&bytes[..]);
        let member = archive.entries().unwrap().next().unwrap().unwrap();
        let header = member.header();
        let ids = (header.uid().unwrap(), header.gid().unwrap());
        (member.path_bytes().into_owned(), member.size(), ids.0, ids.1)
    }

    #[test]
    fn numbers_that_have_no_room_in_octal_digits() {
        let digest = dfbuild_image::Digest::of("");
        // The last number that fits, and the first that does not: 8 GiB, and an id of 2^21.
        for size in [(8 << 30) - 1, 8 << 30, 9 << 40] {
            for id in [(1 << 21) - 1, 1 << 21, u32::MAX] {
                let mut entry = Entry::new("a", Kind::File { size, digest }, 0o644, 0);
                (entry.uid, entry.gid) = (id, id);
                let id = u64::from(id);
                assert_eq!(read_back(&entry), (b"a".to_vec(), size, id, id));
            }
        }
    }

    #[test]
    fn lengths_without_making_the_header() {
        let digest = dfbuild_image::Digest::of("");
        let kinds = [
            Kind::DIRECTORY,
            Kind::File { size: 3, digest },
            Kind::File { size: 8 << 30, digest },
            Kind::Symlink { target: vec![b'x'; 101] },
            Kind::Whiteout,
            Kind::Fifo,
        ];
        let names =
            ["a".to_owned(), "ü".to_owned(), "x".repeat(99), "x".repeat(100), "x".repeat(101)];
        for kind in kinds {
            for name in &names {
                for (id, mtime) in [(0, 0), ((1 << 21) - 1, 1 << 32), (1 << 21, -1), (5, 1 << 33)] {
                    let mut entry = Entry::new(name.as_str(), kind.clone(), 0o644, mtime);
                    (entry.uid, entry.gid) = (id, 7);
                    assert_eq!(header_length(&entry), header(&entry).len(), "{entry:?}");
                    entry.gid = id;
                    entry.capability = Some(vec![1]);
                    assert_eq!(header_length(&entry), header(&entry).len(), "{entry:?}");
                }
            }
        }
    }

    #[test]
    fn names_that_are_long_or_not_ascii() {
        let long = format!("{}/{}", "d".repeat(200), "f".repeat(255));
        for name in [long.as_bytes(), "ü".as_bytes(), b"\xff\xfe", &[b'x'; 101]] {
            let entry = Entry::new(TreePath::new(name), Kind::Fifo, 0o644, 0);
            assert_eq!(read_back(&entry).0, name);
        }
    }
}
