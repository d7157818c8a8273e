use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Error;

/// The user namespace this process lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdMode {
    /// All ids are what they are: real root, or an ordinary user who has entered no namespace.
    Root,
    /// A range of ids is mapped: rootless with subordinate ids, or inside an unprivileged container.
    Mapped,
    /// Only id 0 is mapped.
    ///
    /// Steps run as root whatever [`User`](crate::User) says, and calls that change owners or ids or
    /// make device nodes do nothing and succeed, by a system call filter.
    Single,
}

/// How the ids of this user namespace map to those outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdMap {
    /// User ids.
    pub uids: Vec<IdRange>,
    /// Group ids.
    pub gids: Vec<IdRange>,
}

/// Consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdRange {
    /// The first id inside the namespace.
    pub inside: u32,
    /// The first id outside of it.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The length of the map of the initial user namespace.
const ALL_IDS: u32 = u32::MAX;

impl IdMap {
    /// The map of the current process.
    pub fn current() -> Result<Self, Error> {
        Ok(Self { uids: read("/proc/self/uid_map")?, gids: read("/proc/self/gid_map")? })
    }

    /// The map that changes nothing.
    pub fn identity() -> Self {
        let all = vec![IdRange { inside: 0, outside: 0, count: ALL_IDS }];
        Self { uids: all.clone(), gids: all }
    }

    /// What the map allows.
    pub fn mode(&self) -> IdMode {
        let single = |ranges: &[IdRange]| ranges.iter().map(|range| range.count).sum::<u32>() <= 1;
        if *self == Self::identity() {
            IdMode::Root
        } else if single(&self.uids) || single(&self.gids) {
            IdMode::Single
        } else {
            IdMode::Mapped
        }
    }

    /// A short name of the map, good for a file name: files unpacked under one map are of no use
    /// under another.
    pub fn fingerprint(&self) -> String {
        if self.mode() == IdMode::Root {
            return "root".to_owned();
        }
        if self.uids == self.gids {
            return ranges('m', &self.uids);
        }
        format!("{}_{}", ranges('u', &self.uids), ranges('g', &self.gids))
    }
}

fn ranges(kind: char, ranges: &[IdRange]) -> String {
    let mut text = kind.to_string();
    for (index, range) in ranges.iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        write!(text, "{}-{}-{}", range.inside, range.outside, range.count)
            .expect("writing to a string cannot fail");
    }
    text
}

fn read(path: &str) -> Result<Vec<IdRange>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::File {
        operation: "read",
        path: path.into(),
        source,
    })?;
    let malformed = || Error::File {
        operation: "parse",
        path: Path::new(path).into(),
        source: std::io::ErrorKind::InvalidData.into(),
    };
    text.lines().map(|line| parse(line).ok_or_else(malformed)).collect()
}

fn parse(line: &str) -> Option<IdRange> {
    let mut fields = line.split_ascii_whitespace().map(str::parse);
    let mut next = || fields.next()?.ok();
    Some(IdRange { inside: next()?, outside: next()?, count: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_fingerprints() {
        let map = |lines: &[&str]| -> Vec<_> {
            lines.iter().map(|line| parse(line).expect("well-formed")).collect()
        };
        let check = |uids: &[&str], gids: &[&str], mode, fingerprint: &str| {
            let id_map = IdMap { uids: map(uids), gids: map(gids) };
            assert_eq!(id_map.mode(), mode);
            assert_eq!(id_map.fingerprint(), fingerprint);
        };
        let all = "         0          0 4294967295";
        check(&[all], &[all], IdMode::Root, "root");
        check(&["0 1000 1"], &["0 100 1"], IdMode::Single, "u0-1000-1_g0-100-1");
        let mapped = ["0 1000 1", "1 100000 65536"];
        check(&mapped, &mapped, IdMode::Mapped, "m0-1000-1.1-100000-65536");
    }
}
