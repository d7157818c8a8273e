//! Whom `USER` and `--chown` mean: names are looked up in the files of the image.

use dfbuild_image::TreePath;
use dfbuild_sandbox::User;

use crate::error::StepError;
use crate::images::rootfs::Rootfs;

/// The databases of an image; empty where it has none.
#[derive(Debug, Default)]
pub(crate) struct Users {
    passwd: Vec<PasswdLine>,
    group: Vec<GroupLine>,
    /// Why nothing can be looked up, if it cannot.
    unseen: Option<&'static str>,
}

#[derive(Debug)]
struct PasswdLine {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

#[derive(Debug)]
struct GroupLine {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// A [`User`] and where it is at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) home: String,
}

impl Users {
    /// Reads `/etc/passwd` and `/etc/group`.
    pub(crate) fn read(rootfs: &Rootfs<'_>) -> Result<Self, StepError> {
        if rootfs.diff_ids().is_empty() {
            return Ok(Self::unseen("the image is still empty"));
        }
        let passwd = rootfs.read_small(&TreePath::from("etc/passwd"))?;
        let group = rootfs.read_small(&TreePath::from("etc/group"))?;
        Ok(Self::parse(passwd.as_deref(), group.as_deref()))
    }

    /// Those of an image that a step does not see, and why.
    pub(crate) fn unseen(why: &'static str) -> Self {
        Self { unseen: Some(why), ..Self::default() }
    }

    /// Lines that are none are passed over, as runc does.
    fn parse(passwd: Option<&[u8]>, group: Option<&[u8]>) -> Self {
        let lines = |bytes: &[u8]| -> Vec<Vec<String>> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
        };
        let passwd = lines(passwd.unwrap_or_default()).into_iter().filter_map(|fields| {
            let number = |at: usize| fields.get(at)?.trim().parse().ok();
            Some(PasswdLine {
                name: fields.first()?.trim().to_owned(),
                uid: number(2)?,
                gid: number(3)?,
                home: fields.get(5).cloned().unwrap_or_default(),
            })
        });
        let group = lines(group.unwrap_or_default()).into_iter().filter_map(|fields| {
            let members = fields.get(3).map(String::as_str).unwrap_or_default();
            Some(GroupLine {
                name: fields.first()?.trim().to_owned(),
                gid: fields.get(2)?.trim().parse().ok()?,
                members: members.split(',').map(|name| name.trim().to_owned()).collect(),
            })
        });
        Self { passwd: passwd.collect(), group: group.collect(), unseen: None }
    }

    /// Whom `--chown` means, and `USER` for what `WORKDIR` makes. As BuildKit has it
    /// (`solver/llbsolver/file/user_linux.go`): a number or name brings its group, which for a number
    /// is the same number, until a known group is given; an unknown user is root, and without an image
    /// names are an error.
    pub(crate) fn owner(&self, spec: &str) -> Result<(u32, u32), StepError> {
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        };
        let (uid, primary) = if let Some(uid) = owner_number(user) {
            (uid, uid)
        } else {
            let line = self.seen("user", user)?.user(user);
            line.map_or((0, 0), |line| (line.uid, line.gid))
        };
        let gid = match group.map(|group| (group, owner_number(group))) {
            None => primary,
            Some((_, Some(gid))) => gid,
            Some((group, None)) => {
                self.seen("group", group)?.group(group).map_or(primary, |line| line.gid)
            }
        };
        Ok((uid, gid))
    }

    /// Itself, if names can be looked up. The error has BuildKit's words and ours.
    fn seen(&self, what: &str, name: &str) -> Result<&Self, StepError> {
        let Some(why) = self.unseen else { return Ok(self) };
        Err(StepError::User(format!("invalid user index: -1: {what} {name} is not known: {why}")))
    }

    /// The user and group of a `--chown` that are in no file of the image, and so are taken for root.
    pub(crate) fn strangers(&self, spec: &str) -> Vec<String> {
        let (user, group) = spec.split_once(':').unwrap_or((spec, ""));
        let is_name = |name: &str| owner_number(name).is_none();
        let user = Some(user).filter(|user| is_name(user) && self.user(user).is_none());
        let group = Some(group).filter(|group| is_name(group) && self.group(group).is_none());
        let user = user.map(|user| format!("user {user} in /etc/passwd"));
        user.into_iter().chain(group.map(|group| format!("group {group} in /etc/group"))).collect()
    }

    /// Whom `USER` means when a command runs. As runc has it: a number without an entry has group
    /// 0; further groups come with a name or entry, unless a group is given.
    pub(crate) fn account(&self, spec: &str) -> Result<Account, StepError> {
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (spec, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let by_number = number(user);
        let line = match by_number {
            Some(uid) => self.passwd.iter().find(|line| line.uid == uid),
            None => self.user(user),
        };
        let uid = match (by_number, line) {
            (Some(uid), _) => uid,
            (None, Some(line)) => line.uid,
            (None, None) => {
                return Err(StepError::User(format!(
                    "unable to find user {user}: no matching entries in passwd file"
                )));
            }
        };
        let gid = match group.map(|group| (group, number(group))) {
            None => line.map_or(0, |line| line.gid),
            Some((_, Some(gid))) => gid,
            Some((group, None)) => match self.group(group) {
                Some(line) => line.gid,
                None => {
                    return Err(StepError::User(format!(
                        "unable to find group {group}: no matching entries in group file"
                    )));
                }
            },
        };
        if uid > LARGEST_ID || gid > LARGEST_ID {
            return Err(StepError::User(format!("uids and gids must be in range 0-{LARGEST_ID}")));
        }
        let member = |group: &&GroupLine| {
            line.is_some_and(|line| group.members.contains(&line.name)) && group.gid != gid
        };
        let mut groups = vec![gid];
        if group.is_none() {
            groups.extend(self.group.iter().filter(member).map(|group| group.gid));
        }
        let home = line.map(|line| line.home.clone()).filter(|home| !home.is_empty());
        Ok(Account { user: User { uid, gid, groups }, home: home.unwrap_or("/".to_owned()) })
    }

    fn user(&self, name: &str) -> Option<&PasswdLine> {
        self.passwd.iter().find(|line| line.name == name)
    }

    fn group(&self, name: &str) -> Option<&GroupLine> {
        self.group.iter().find(|line| line.name == name)
    }
}

/// What runc takes; the kernel would take the largest 32-bit number for no change at all.
const LARGEST_ID: u32 = i32::MAX as u32;

/// A number of an owner: 32 bits with a sign, of which -1 changes nothing, so that root stays.
fn owner_number(text: &str) -> Option<u32> {
    match text {
        "" | "root" => Some(0),
        _ => text.parse::<i32>().ok().map(|id| u32::try_from(id).unwrap_or(0)),
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let passwd = b"root:x:0:0:r:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbroken\n";
        let group = b"root:x:0:root\nwheel:x:10:root,app\napp:x:1001:\nstaff:x:50:app\n";
        Users::parse(Some(passwd), Some(group))
    }

    #[test]
    fn owners() {
        for (spec, ids) in [
            ("app", (1000, 1001)),
            ("app:staff", (1000, 50)),
            ("7", (7, 7)),
            ("7:8", (7, 8)),
            ("app:", (1000, 0)),
            (":staff", (0, 50)),
            ("", (0, 0)),
            ("nobody", (0, 0)),
            ("2147483648", (0, 0)),
            ("+5", (5, 5)),
            ("app:nobody", (1000, 1001)),
            ("7:nobody", (7, 7)),
            ("nobody:app", (0, 1001)),
            ("-1:-1", (0, 0)),
            ("root:root", (0, 0)),
        ] {
            assert_eq!(users().owner(spec).unwrap(), ids, "{spec}");
        }
        assert_eq!(
            users().strangers("ap:staf"),
            ["user ap in /etc/passwd", "group staf in /etc/group"]
        );
        for known in ["app:staff", "7:8", "root", ":root", ""] {
            assert!(users().strangers(known).is_empty(), "{known}");
        }
        assert_eq!(
            Users::default().owner("app:app").unwrap(),
            (0, 0),
            "an image without the files"
        );
        let unseen = Users::unseen("it is not looked at");
        assert_eq!(unseen.owner("root:5").unwrap(), (0, 5));
        for (spec, who) in [("app", "user app"), ("1:app", "group app")] {
            let error = unseen.owner(spec).unwrap_err().to_string();
            let text = format!("invalid user index: -1: {who} is not known: it is not looked at");
            assert_eq!(error, text);
        }
    }

    #[test]
    fn accounts() {
        let of = |spec: &str| {
            users().account(spec).map(|a| (a.user.uid, a.user.gid, a.user.groups, a.home))
        };
        assert_eq!(of("app").unwrap(), (1000, 1001, vec![1001, 10, 50], "/home/app".to_owned()));
        assert_eq!(of("").unwrap(), (0, 0, vec![0, 10], "/root".to_owned()));
        assert_eq!(of("5").unwrap(), (5, 0, vec![0], "/".to_owned()));
        assert_eq!(of("app:staff").unwrap(), (1000, 50, vec![50], "/home/app".to_owned()));
        for bad in ["nobody", "app:none", "2147483648", "1:4294967295"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
