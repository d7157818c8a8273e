//! `RUN --mount` and `RUN --device`.

use crate::ast::{Device, Mount, MountError, MountKind, Sharing};
use crate::csv;
use crate::quote::quote;
use crate::suggest;

const KEYS: [&str; 18] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// Reads a mount and expands each value on its own.
pub(crate) fn parse(
    text: &str,
    expand: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Mount, MountError> {
    let mut mount = Mount::default();
    let mut read_only = None;
    for field in
        csv::fields(text).map_err(|it| error(format!("failed to parse csv mounts: {it}")))?
    {
        let (key, value) = split(&field);
        match value {
            Some(value) => {
                let value = expand(value).map_err(error)?;
                set(&mut mount, &mut read_only, &key, &field, &value)?;
            }
            None => switch(&mut mount, &mut read_only, &key, &field)?,
        }
    }
    check(&mount)?;
    let by_default = !matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs);
    mount.read_only = read_only.unwrap_or(by_default);
    Ok(mount)
}

/// What can be said of a mount before its variables are known.
pub(crate) fn check_unexpanded(text: &str) -> Result<(), String> {
    // Only these can make it wrong.
    if memchr::memchr2(b'"', b'$', text.as_bytes()).is_none() {
        return Ok(());
    }
    for field in csv::fields(text).map_err(|it| format!("failed to parse csv mounts: {it}"))? {
        let (key, value) = split(&field);
        // A `$` that something follows.
        let has_variable = |value: &str| value.find('$').is_some_and(|at| at + 1 < value.len());
        if key == "from" && value.is_some_and(has_variable) {
            return Err(
                "'from' doesn't support variable expansion, define alias stage instead".to_owned()
            );
        }
    }
    Ok(())
}

fn error(message: impl Into<String>) -> MountError {
    MountError { message: message.into(), suggestion: None }
}

fn split(field: &str) -> (String, Option<&str>) {
    match field.split_once('=') {
        Some((key, value)) => (key.to_lowercase(), Some(value)),
        None => (field.to_lowercase(), None),
    }
}

fn kind_name(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Bind => "bind",
        MountKind::Cache => "cache",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Secret => "secret",
        MountKind::Ssh => "ssh",
    }
}

fn unexpected(key: &str, kind: MountKind) -> MountError {
    error(format!("unexpected key '{key}' for mount type '{}'", kind_name(kind)))
}

/// A key without a value.
fn switch(
    mount: &mut Mount,
    read_only: &mut Option<bool>,
    key: &str,
    field: &str,
) -> Result<(), MountError> {
    match key {
        "readonly" | "ro" => *read_only = Some(true),
        "readwrite" | "rw" => *read_only = Some(false),
        "required" if matches!(mount.kind, MountKind::Secret | MountKind::Ssh) => {
            mount.required = true;
        }
        "required" => return Err(unexpected(key, mount.kind)),
        _ => return Err(error(format!("invalid field '{field}' must be a key=value pair"))),
    }
    Ok(())
}

fn set(
    mount: &mut Mount,
    read_only: &mut Option<bool>,
    key: &str,
    field: &str,
    value: &str,
) -> Result<(), MountError> {
    let invalid = || error(format!("invalid value for {key}: {value}"));
    let number = |radix| {
        u32::from_str_radix(value, radix)
            .ok()
            .filter(|_| !value.starts_with('+'))
            .ok_or_else(|| error(format!("invalid value {value} for {key}")))
    };
    let text = || Some(value.to_owned()).filter(|it| !it.is_empty());
    match key {
        "type" => mount.kind = kind(value)?,
        "from" => mount.from = text(),
        "source" | "src" => mount.source = text(),
        "target" | "dst" | "destination" => mount.target = text(),
        "readonly" | "ro" => *read_only = Some(parse_bool(value).ok_or_else(invalid)?),
        "readwrite" | "rw" => *read_only = Some(!parse_bool(value).ok_or_else(invalid)?),
        "required" if matches!(mount.kind, MountKind::Secret | MountKind::Ssh) => {
            mount.required = parse_bool(value).ok_or_else(invalid)?;
        }
        "size" if mount.kind == MountKind::Tmpfs => {
            mount.size = Some(parse_size(value).ok_or_else(invalid)?);
        }
        "env" if mount.kind == MountKind::Secret => mount.env = text(),
        "required" | "size" | "env" => return Err(unexpected(key, mount.kind)),
        "id" => mount.id = text(),
        "sharing" => mount.sharing = Some(sharing(value)?),
        "mode" => mount.mode = Some(number(8)?),
        "uid" => mount.uid = Some(number(10)?),
        "gid" => mount.gid = Some(number(10)?),
        _ => {
            let message = format!("unexpected key '{key}' in '{field}'");
            let suggestion = suggest::closest(key, KEYS).map(str::to_owned);
            return Err(MountError { message, suggestion });
        }
    }
    Ok(())
}

fn kind(value: &str) -> Result<MountKind, MountError> {
    Ok(match value.to_lowercase().as_str() {
        "bind" => MountKind::Bind,
        "cache" => MountKind::Cache,
        "tmpfs" => MountKind::Tmpfs,
        "secret" => MountKind::Secret,
        "ssh" => MountKind::Ssh,
        _ => {
            let message = format!("unsupported mount type {}", quote(value));
            let suggestion = suggest::closest(value, ["bind", "cache", "secret", "ssh", "tmpfs"])
                .map(str::to_owned);
            return Err(MountError { message, suggestion });
        }
    })
}

fn sharing(value: &str) -> Result<Sharing, MountError> {
    Ok(match value.to_lowercase().as_str() {
        "shared" => Sharing::Shared,
        "private" => Sharing::Private,
        "locked" => Sharing::Locked,
        _ => {
            let message = format!("unsupported sharing value {}", quote(value));
            let suggestion =
                suggest::closest(value, ["locked", "private", "shared"]).map(str::to_owned);
            return Err(MountError { message, suggestion });
        }
    })
}

fn check(mount: &Mount) -> Result<(), MountError> {
    if matches!(mount.kind, MountKind::Bind | MountKind::Tmpfs) {
        let given = [("mode", mount.mode), ("uid", mount.uid), ("gid", mount.gid)];
        if let Some((key, _)) = given.iter().find(|(_, value)| value.is_some()) {
            return Err(error(format!(
                "{key} not allowed for {} type mounts",
                quote(kind_name(mount.kind))
            )));
        }
    }
    if mount.kind == MountKind::Secret {
        if mount.from.is_some() {
            return Err(error("secret mount should not have a from"));
        }
        if mount.sharing.is_some() {
            return Err(error("secret mount should not define sharing"));
        }
        if mount.source.is_none() && mount.target.is_none() && mount.id.is_none() {
            return Err(error("invalid secret mount. one of source, target required"));
        }
        if mount.source.is_some() && mount.id.is_some() {
            return Err(error("both source and id can't be set"));
        }
    }
    if mount.sharing.is_some() && mount.kind != MountKind::Cache {
        return Err(error(format!(
            "invalid cache sharing set for {} mount",
            kind_name(mount.kind)
        )));
    }
    Ok(())
}

/// Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A number of bytes with a unit, of which each is 1024 times the one before: `64m`, `1.5GiB`.
fn parse_size(text: &str) -> Option<i64> {
    let end = text.rfind(|it: char| it.is_ascii_digit() || it == '.')? + 1;
    let unit = text[end..].strip_prefix(' ').unwrap_or(&text[end..]).to_lowercase();
    let power = match unit.strip_suffix('b').unwrap_or(&unit).trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let number: f64 = text[..end].parse().ok()?;
    let bytes = number * 1024f64.powi(power);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fraction of a byte does not count; too much saturates"
    )]
    if bytes >= 0.0 { Some(bytes as i64) } else { None }
}

/// Reads a `--device`.
pub(crate) fn parse_device(text: &str) -> Result<Device, MountError> {
    let mut device = Device::default();
    for field in
        csv::fields(text).map_err(|it| error(format!("failed to parse csv devices: {it}")))?
    {
        let (key, value) = split(&field);
        match (key.as_str(), value) {
            ("required", None) => device.required = true,
            ("name", Some(_)) if !device.name.is_empty() => {
                return Err(error(format!("device name already set to {}", device.name)));
            }
            ("name", Some(value)) => value.clone_into(&mut device.name),
            ("required", Some(value)) => {
                device.required = parse_bool(value)
                    .ok_or_else(|| error(format!("invalid value for {key}: {value}")))?;
            }
            // A device may be named without a key, and its name may hold a `=`.
            _ if device.name.is_empty() => device.name = field,
            (_, None) => {
                return Err(error(format!("invalid field '{field}' must be a key=value pair")));
            }
            (_, Some(_)) => {
                let message = format!("unexpected key '{key}' in '{field}'");
                let suggestion = suggest::closest(&key, ["name", "required"]).map(str::to_owned);
                return Err(MountError { message, suggestion });
            }
        }
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use crate::ast::{Device, Mount, MountKind, Sharing};

    fn fails(text: &str, message: &str) {
        assert_eq!(Mount::parse(text).unwrap_err().message, message, "{text}");
    }

    #[test]
    fn mounts_have_defaults() {
        let bind = Mount::parse("target=/t").unwrap();
        assert_eq!(
            (bind.kind, bind.read_only, bind.target.as_deref()),
            (MountKind::Bind, true, Some("/t"))
        );
        let cache = Mount::parse("type=cache,dst=/c,sharing=LOCKED,uid=7,mode=0755").unwrap();
        assert_eq!(
            (cache.read_only, cache.sharing, cache.uid, cache.mode),
            (false, Some(Sharing::Locked), Some(7), Some(0o755))
        );
        assert!(!Mount::parse("type=bind,rw,target=/t").unwrap().read_only);
        assert_eq!(Mount::parse("type=tmpfs,target=/t,size=1.5KiB").unwrap().size, Some(1536));
        assert!(Mount::parse("type=secret,id=x,required").unwrap().required);
    }

    #[test]
    fn values_are_expanded_one_by_one() {
        let mut expand = |value: &str| Ok(value.replace("$x", "a,b"));
        let mount = Mount::parse_with("type=cache,target=/$x,id=$x", &mut expand).unwrap();
        assert_eq!((mount.target.as_deref(), mount.id.as_deref()), (Some("/a,b"), Some("a,b")));
    }

    #[test]
    fn errors_are_those_of_the_reference() {
        fails("type=foo", "unsupported mount type \"foo\"");
        fails("type=cache,sharing=x", "unsupported sharing value \"x\"");
        fails("required,type=secret", "unexpected key 'required' for mount type 'bind'");
        fails("target", "invalid field 'target' must be a key=value pair");
        fails("traget=/x", "unexpected key 'traget' in 'traget=/x'");
        fails("uid=1,target=/x", "uid not allowed for \"bind\" type mounts");
        fails("type=secret", "invalid secret mount. one of source, target required");
        fails("type=ssh,sharing=shared", "invalid cache sharing set for ssh mount");
        fails("ro=maybe", "invalid value for ro: maybe");
        fails("type=cache,mode=9", "invalid value 9 for mode");
        assert_eq!(Mount::parse("traget=/x").unwrap_err().suggestion.as_deref(), Some("target"));
    }

    #[test]
    fn devices_are_named_with_or_without_a_key() {
        let device = |name: &str, required| Device { name: name.to_owned(), required };
        assert_eq!(super::parse_device("a/b=c,required").unwrap(), device("a/b=c", true));
        assert_eq!(super::parse_device("name=x,required=false").unwrap(), device("x", false));
        assert_eq!(
            super::parse_device("x,y").unwrap_err().message,
            "invalid field 'y' must be a key=value pair"
        );
    }
}
