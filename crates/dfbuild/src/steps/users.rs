//! Whom `USER` and `--chown` mean: names are looked up in the files of the image.

use dfbuild_image::TreePath;
use dfbuild_sandbox::User;

use crate::error::StepError;
use crate::images::rootfs::Rootfs;

/// The databases of an image; `None` where it has none.
#[derive(Debug, Default)]
pub(crate) struct Users {
    passwd: Option<Vec<PasswdLine>>,
    group: Option<Vec<GroupLine>>,
    /// Whether they may well be there, but are not looked at.
    unseen: bool,
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
        let passwd = rootfs.read_small(&TreePath::from("etc/passwd"))?;
        let group = rootfs.read_small(&TreePath::from("etc/group"))?;
        Ok(Self::parse(passwd.as_deref(), group.as_deref()))
    }

    /// Those of an image that a step does not see.
    pub(crate) fn unseen() -> Self {
        Self { unseen: true, ..Self::default() }
    }

    /// Lines that are none are passed over, as runc does.
    fn parse(passwd: Option<&[u8]>, group: Option<&[u8]>) -> Self {
        let lines = |bytes: &[u8]| -> Vec<Vec<String>> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
        };
        let passwd = passwd.map(|bytes| {
            let lines = lines(bytes).into_iter().filter_map(|fields| {
                let number = |at: usize| fields.get(at)?.trim().parse().ok();
                Some(PasswdLine {
                    name: fields.first()?.trim().to_owned(),
                    uid: number(2)?,
                    gid: number(3)?,
                    home: fields.get(5).cloned().unwrap_or_default(),
                })
            });
            lines.collect()
        });
        let group = group.map(|bytes| {
            let lines = lines(bytes).into_iter().filter_map(|fields| {
                let members = fields.get(3).map(String::as_str).unwrap_or_default();
                Some(GroupLine {
                    name: fields.first()?.trim().to_owned(),
                    gid: fields.get(2)?.trim().parse().ok()?,
                    members: members.split(',').map(|name| name.trim().to_owned()).collect(),
                })
            });
            lines.collect()
        });
        Self { passwd, group, unseen: false }
    }

    /// Whom `--chown` means. As BuildKit has it: a lone number is both user and group, a lone name
    /// brings its primary group, an unknown name is 0, and without a database names are an error.
    pub(crate) fn chown(&self, spec: &str) -> Result<(u32, u32), StepError> {
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        };
        let line = self.user(user);
        let uid = match number(user) {
            Some(uid) => uid,
            None if user.is_empty() || user == "root" => 0,
            None if self.passwd.is_none() => {
                return Err(self.unknown("user", user, "passwd"));
            }
            None => line.map_or(0, |line| line.uid),
        };
        let gid = match group {
            None if number(user).is_some() => uid,
            None => line.map_or(0, |line| line.gid),
            Some("" | "root") => 0,
            Some(group) => match number(group) {
                Some(gid) => gid,
                None if self.group.is_none() => {
                    return Err(self.unknown("group", group, "group"));
                }
                None => self.group(group).map_or(0, |line| line.gid),
            },
        };
        Ok((uid, gid))
    }

    /// The user and group of a `--chown` that are in no file of the image, and so are taken for root.
    pub(crate) fn strangers(&self, spec: &str) -> Vec<String> {
        let (user, group) = spec.split_once(':').unwrap_or((spec, ""));
        let is_name = |name: &str| !name.is_empty() && name != "root" && number(name).is_none();
        let user = Some(user).filter(|user| is_name(user) && self.user(user).is_none());
        let group = Some(group).filter(|group| is_name(group) && self.group(group).is_none());
        let user = user.map(|user| format!("user {user} in /etc/passwd"));
        user.into_iter().chain(group.map(|group| format!("group {group} in /etc/group"))).collect()
    }

    /// A name without the file that it would be in, in BuildKit's words and ours.
    fn unknown(&self, what: &str, name: &str, file: &str) -> StepError {
        let why = if self.unseen {
            "with --link the image is not looked at; give its number".to_owned()
        } else {
            format!("the image has no /etc/{file}")
        };
        StepError::User(format!("invalid user index: -1: {what} {name} is not known: {why}"))
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
            Some(uid) => self.passwd.iter().flatten().find(|line| line.uid == uid),
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
        let member = |group: &&GroupLine| {
            line.is_some_and(|line| group.members.contains(&line.name)) && group.gid != gid
        };
        let mut groups = vec![gid];
        if group.is_none() {
            groups.extend(self.group.iter().flatten().filter(member).map(|group| group.gid));
        }
        let home = line.map(|line| line.home.clone()).filter(|home| !home.is_empty());
        Ok(Account { user: User { uid, gid, groups }, home: home.unwrap_or("/".to_owned()) })
    }

    /// Who owns what `WORKDIR` makes for `USER spec`: a number without an entry is its own group,
    /// an unknown name is root.
    pub(crate) fn workdir_owner(&self, spec: &str) -> (u32, u32) {
        let name = spec.split(':').next().unwrap_or_default();
        let has_entry = |uid| self.passwd.iter().flatten().any(|line| line.uid == uid);
        match (number(name), self.account(spec)) {
            (Some(uid), _) if !spec.contains(':') && !has_entry(uid) => (uid, uid),
            (_, Ok(account)) => (account.user.uid, account.user.gid),
            (_, Err(_)) => (0, 0),
        }
    }

    fn user(&self, name: &str) -> Option<&PasswdLine> {
        self.passwd.iter().flatten().find(|line| line.name == name)
    }

    fn group(&self, name: &str) -> Option<&GroupLine> {
        self.group.iter().flatten().find(|line| line.name == name)
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
    fn chown() {
        for (spec, ids) in [
            ("app", (1000, 1001)),
            ("app:staff", (1000, 50)),
            ("7", (7, 7)),
            ("7:8", (7, 8)),
            ("app:", (1000, 0)),
            (":staff", (0, 50)),
            ("", (0, 0)),
            ("nobody", (0, 0)),
            ("4294967296", (0, 0)),
            ("-1:-1", (0, 0)),
            ("root:root", (0, 0)),
        ] {
            assert_eq!(users().chown(spec).unwrap(), ids, "{spec}");
        }
        assert_eq!(
            users().strangers("ap:staf"),
            ["user ap in /etc/passwd", "group staf in /etc/group"]
        );
        for known in ["app:staff", "7:8", "root", ":root", ""] {
            assert!(users().strangers(known).is_empty(), "{known}");
        }
        let scratch = Users::default();
        assert_eq!(scratch.chown("root:5").unwrap(), (0, 5));
        for (users, spec, why) in [
            (&scratch, "app", "user app is not known: the image has no /etc/passwd"),
            (&scratch, "1:app", "group app is not known: the image has no /etc/group"),
            (&Users::unseen(), "app", "with --link the image is not looked at"),
        ] {
            let error = users.chown(spec).unwrap_err().to_string();
            assert!(
                error.starts_with("invalid user index: -1: ") && error.contains(why),
                "{error}"
            );
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
        assert!(of("nobody").is_err() && of("app:none").is_err());
    }

    #[test]
    fn owners_of_working_directories() {
        assert_eq!(users().workdir_owner("app"), (1000, 1001));
        assert_eq!(users().workdir_owner("77"), (77, 77));
        assert_eq!(users().workdir_owner("nobody"), (0, 0));
    }
}
