//! Archives that `ADD` unpacks. They are not layers: owners of implied parents, whiteouts and links
//! behave as when Docker unpacks them into a mounted root.

use std::io::{self, Cursor, Read, Write};

use dfbuild_image::{Entry, HashingWriter, Kind, TreePath};
use dfbuild_layer::archive::{
    Compression, Limits, Member, MemberKind, decompress, decompress_within, detect, members,
};
use dfbuild_store::Staging;

use crate::error::StepError;
use crate::steps::draft::{Draft, Making};
use crate::steps::origin::Origin;

/// A tar header block.
const BLOCK: usize = 512;

/// Whether the stream, decompressed, begins with a tar header. The name of the file does not
/// matter, and an archive without members counts as a file.
pub(crate) fn is_archive(mut stream: Box<dyn Read + '_>) -> io::Result<bool> {
    let mut head = [0; BLOCK];
    let length = read_head(&mut stream, &mut head)?;
    match detect(&head[..length]) {
        None => Ok(false),
        Some(Compression::Plain) => Ok(head.iter().any(|&byte| byte != 0)),
        Some(compression) => {
            let whole = Cursor::new(head[..length].to_vec()).chain(stream);
            let mut inner = decompress(compression, Box::new(whole));
            // What cannot be decompressed is a file like any other.
            let length = read_head(&mut inner, &mut head).unwrap_or(0);
            let inside = &head[..length];
            Ok(detect(inside) == Some(Compression::Plain) && inside.iter().any(|&byte| byte != 0))
        }
    }
}

/// Unpacks the archive into the directory `target`.
pub(crate) fn extract(
    draft: &mut Draft<'_>,
    mut stream: Box<dyn Read + '_>,
    target: &TreePath,
    owner: Option<(u32, u32)>,
    staging: &Staging,
    limits: &Limits,
) -> Result<(), StepError> {
    let mut head = [0; BLOCK];
    let failed = StepError::io("read", target.to_path());
    let length = read_head(&mut stream, &mut head).map_err(failed)?;
    let compression = detect(&head[..length]).unwrap_or(Compression::Plain);
    let whole = Cursor::new(head[..length].to_vec()).chain(stream);
    let mut members = members(decompress_within(compression, Box::new(whole), limits));
    let spool = staging.folder("archive")?;
    let mut number = 0;
    let mut times: Vec<(TreePath, i64)> = Vec::new();
    while let Some(mut member) = members.advance()? {
        member.mtime = bounded(member.mtime);
        number += 1;
        if number > limits.entries {
            return Err(dfbuild_layer::Error::Bomb { entries: number }.into());
        }
        let file = spool.join(number.to_string());
        if member.path.is_root() {
            continue;
        }
        // Links lead nowhere outside: Docker unpacks with the target as the root.
        let making = Making { uid: 0, gid: 0, mode: 0o755 };
        let parent = member.path.parent().unwrap_or_default();
        let parent = draft.make_directories_inside(target, &parent, making)?;
        if let Some(hidden) = whiteout(&member) {
            draft.remove(&parent.join(hidden));
            continue;
        }
        let path = parent.join(member.path.name().unwrap_or_default());
        let (kind, origin) = match &member.kind {
            MemberKind::File { .. } => {
                let failed = |error| StepError::io("write", &file)(error);
                let out = std::fs::File::create(&file).map_err(failed)?;
                let mut writer = HashingWriter::new(io::BufWriter::new(out));
                io::copy(&mut members, &mut writer).map_err(failed)?;
                writer.flush().map_err(failed)?;
                let (_, digest, size) = writer.finish();
                (Kind::File { size, digest }, Origin::Spooled(file))
            }
            MemberKind::HardLink { target: other } => {
                link(draft, &member, &target.join(other.as_bytes()), &path, owner)?;
                continue;
            }
            MemberKind::Symlink { target } => {
                (Kind::Symlink { target: target.clone() }, Origin::None)
            }
            MemberKind::Directory => (Kind::DIRECTORY, Origin::None),
            // On disk this would be an overlay's whiteout, and it is one in BuildKit too.
            MemberKind::CharDevice { major: 0, minor: 0 } => continue,
            &MemberKind::CharDevice { major, minor } => {
                (Kind::CharDevice { major, minor }, Origin::None)
            }
            &MemberKind::BlockDevice { major, minor } => {
                (Kind::BlockDevice { major, minor }, Origin::None)
            }
            MemberKind::Fifo => (Kind::Fifo, Origin::None),
        };
        if kind.is_directory() {
            times.push((path.clone(), member.mtime));
        }
        draft.put(entry(&member, path, kind, owner), origin);
    }
    for (path, mtime) in times {
        draft.amend(&path, &|entry| entry.mtime = mtime);
    }
    Ok(())
}

fn entry(member: &Member, path: TreePath, kind: Kind, owner: Option<(u32, u32)>) -> Entry {
    let (uid, gid) = owner.unwrap_or((member.uid, member.gid));
    // A link has no mode of its own.
    let mode = if matches!(kind, Kind::Symlink { .. }) { 0o777 } else { member.mode };
    Entry { path, kind, mode, uid, gid, mtime: member.mtime, capability: member.capability.clone() }
}

/// A hard link's header also changes mode and owner of the file that it leads to.
fn link(
    draft: &mut Draft<'_>,
    member: &Member,
    to: &TreePath,
    path: &TreePath,
    owner: Option<(u32, u32)>,
) -> Result<(), StepError> {
    let place = draft.resolve(to, false)?;
    if place.entry.is_none() {
        return Err(StepError::Clash(format!("link {path}: {to}: no such file")));
    }
    draft.put(
        entry(member, path.clone(), Kind::HardLink { target: place.path.clone() }, owner),
        Origin::None,
    );
    let (uid, gid) = owner.unwrap_or((member.uid, member.gid));
    draft.amend(&place.path, &|file| {
        (file.uid, file.gid, file.mode, file.mtime) = (uid, gid, member.mode, member.mtime);
    });
    Ok(())
}

/// The time of a member as Docker sets it: one that does not fit into 64 bits of nanoseconds, or is
/// before 1970, becomes 1970.
fn bounded(mtime: i64) -> i64 {
    if (0..=i64::MAX / 1_000_000_000).contains(&mtime) { mtime } else { 0 }
}

/// The name that a `.wh.` member takes away.
fn whiteout(member: &Member) -> Option<Vec<u8>> {
    member.path.name()?.strip_prefix(b".wh.").map(<[u8]>::to_vec)
}

/// Reads as much as there is, up to the length of `buffer`.
pub(crate) fn read_head(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
