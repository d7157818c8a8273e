//! What a command sees beside its image: `-v`, `--mount` and `--tmpfs`.

use std::path::PathBuf;

use dfbuild::Tmpfs;

use super::csv;
use crate::units;

/// A `-v`, or a `--mount` of a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeFlag {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

/// A `--mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountFlag {
    Bind(VolumeFlag),
    Tmpfs(Tmpfs),
}

/// Who may do what in a folder in memory, with Docker's sticky bit.
const TMPFS_MODE: u32 = 0o1777;

/// Reads a `-v`.
pub(super) fn volume(text: &str) -> Result<VolumeFlag, String> {
    let mut parts = text.split(':');
    let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
        return Err("give PATH:TARGET; there are no anonymous volumes".to_owned());
    };
    let mut read_only = false;
    for option in parts.flat_map(|options| options.split(',')) {
        match option {
            "ro" => read_only = true,
            // Nothing here has labels, and a folder is always the caller's own.
            "rw" | "z" | "Z" => {}
            other => return Err(format!("unknown option `{other}`: there are ro and rw")),
        }
    }
    if !source.contains('/') && source != "." && source != ".." {
        return Err(format!("there are no named volumes; write ./{source} for a folder"));
    }
    Ok(VolumeFlag { source: source.into(), target: absolute(target)?, read_only })
}

/// Reads a `--mount`.
pub(super) fn mount(text: &str) -> Result<MountFlag, String> {
    let (mut kind, mut source, mut target) = ("volume".to_owned(), None, None);
    let (mut read_only, mut size, mut mode) = (false, None, TMPFS_MODE);
    for (key, value) in csv::key_values(text)? {
        match key.as_str() {
            "type" => kind = value,
            "src" | "source" => source = Some(value),
            "dst" | "destination" | "target" => target = Some(value),
            "ro" | "readonly" => read_only = matches!(value.as_str(), "" | "1" | "true"),
            "tmpfs-size" => size = Some(units::parse_size(&value)?),
            "tmpfs-mode" => mode = octal(&value)?,
            // A command ends with its mounts, so that none of theirs comes to light here.
            "bind-propagation" | "consistency" => {}
            _ => {
                return Err(format!(
                    "unknown key `{key}`: there are type, src, dst, ro, tmpfs-size and tmpfs-mode"
                ));
            }
        }
    }
    let target = absolute(&target.ok_or("`dst=` is missing")?)?;
    match (kind.as_str(), source) {
        ("bind", Some(source)) => {
            Ok(MountFlag::Bind(VolumeFlag { source: source.into(), target, read_only }))
        }
        ("bind", None) => Err("`src=` is missing".to_owned()),
        ("tmpfs", None) => Ok(MountFlag::Tmpfs(Tmpfs { target, size, mode })),
        ("tmpfs", Some(_)) => Err("what is in memory has no `src=`".to_owned()),
        ("volume", _) => {
            Err("there are no volumes; write type=bind,src=FOLDER for a folder".to_owned())
        }
        (other, _) => Err(format!("there is no type `{other}`: there are bind and tmpfs")),
    }
}

/// Reads a `--tmpfs`.
pub(super) fn tmpfs(text: &str) -> Result<Tmpfs, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut tmpfs = Tmpfs { target: absolute(target)?, size: None, mode: TMPFS_MODE };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("size", size) => tmpfs.size = Some(units::parse_size(size)?),
            ("mode", mode) => tmpfs.mode = octal(mode)?,
            // It is always `rw,exec,nosuid,nodev`, which refuses less than Docker's `noexec`.
            ("rw" | "exec" | "noexec" | "nosuid" | "nodev", "") => {}
            _ => return Err(format!("unknown option `{option}`: there are size and mode")),
        }
    }
    Ok(tmpfs)
}

fn absolute(target: &str) -> Result<String, String> {
    if target.starts_with('/') {
        Ok(target.to_owned())
    } else {
        Err("the target must be an absolute path".to_owned())
    }
}

fn octal(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| format!("`{text}` is no mode, as 1777"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        for (text, source, target, read_only) in [
            ("/a:/b", "/a", "/b", false),
            ("./a:/b:ro", "./a", "/b", true),
            (".:/b:rw,z", ".", "/b", false),
        ] {
            let expect = VolumeFlag { source: source.into(), target: target.into(), read_only };
            assert_eq!(volume(text), Ok(expect), "{text}");
        }
        for bad in ["/a", "a:/b", "/a:b", "/a:/b:x"] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts() {
        let bind = |read_only| {
            Ok(MountFlag::Bind(VolumeFlag { source: "/a".into(), target: "/b".into(), read_only }))
        };
        assert_eq!(mount("type=bind,src=/a,dst=/b"), bind(false));
        assert_eq!(mount("type=bind,source=/a,target=/b,readonly"), bind(true));
        assert_eq!(mount("type=bind,source=/a,destination=/b,ro=false"), bind(false));
        let memory = |size, mode| Tmpfs { target: "/b".into(), size, mode };
        let given = mount("type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=700");
        assert_eq!(given, Ok(MountFlag::Tmpfs(memory(Some(1 << 20), 0o700))));
        assert_eq!(tmpfs("/b"), Ok(memory(None, 0o1777)));
        assert_eq!(tmpfs("/b:rw,noexec,size=2k,mode=755"), Ok(memory(Some(2048), 0o755)));
        for (bad, part) in [
            ("src=x,dst=/b", "there are no volumes"),
            ("type=bind,dst=/b", "`src=` is missing"),
            ("type=bind,src=/a", "`dst=` is missing"),
            ("type=tmpfs,src=/a,dst=/b", "no `src=`"),
            ("type=bind,src=/a,dst=/b,x=y", "unknown key `x`"),
        ] {
            assert!(mount(bad).unwrap_err().contains(part), "{bad}");
        }
        assert!(tmpfs("/b:ro").is_err() && tmpfs("b").is_err() && tmpfs("/b:mode=9").is_err());
    }
}
