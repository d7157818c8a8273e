use std::fs;
use std::path::Path;

use crate::{Error, IdRange};

/// The ranges that `file` (`/etc/subuid` or `/etc/subgid`) grants to a user, mapped from id 1 on.
///
/// A line is `user:first:count`, where the user is a name or a number.
pub(crate) fn read(file: &Path, name: Option<&str>, uid: u32) -> Result<Vec<IdRange>, Error> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(parse(&text, name, uid)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::File { operation: "read", path: file.into(), source }),
    }
}

fn parse(text: &str, name: Option<&str>, uid: u32) -> Vec<IdRange> {
    let number = uid.to_string();
    let mut inside = 1_u32;
    let mut ranges = Vec::new();
    for line in text.lines() {
        let mut fields = line.trim().split(':');
        let (Some(user), Some(first), Some(count), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Ok(outside), Ok(count)) = (first.parse(), count.parse()) else { continue };
        let ours = Some(user) == name || user == number;
        let Some(next) = inside.checked_add(count).filter(|_| ours && count > 0) else { continue };
        ranges.push(IdRange { inside, outside, count });
        inside = next;
    }
    ranges
}

/// The name of a user in `/etc/passwd`.
pub(crate) fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_by_name_or_number() {
        let text = "a:100000:65536\n# b\nb:1:2\n1000:300000:10\na:5\na:x:3\n";
        let expect = [
            IdRange { inside: 1, outside: 100_000, count: 65536 },
            IdRange { inside: 65537, outside: 300_000, count: 10 },
        ];
        assert_eq!(parse(text, Some("a"), 1000), expect);
        assert_eq!(parse(text, None, 7), []);
    }

    #[test]
    fn names_of_users() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\nann:x:1000:1000::/:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000), Some("ann"));
        assert_eq!(user_name(passwd, 1), None);
    }
}
