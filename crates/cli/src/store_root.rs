use std::path::PathBuf;

/// The folder of the store: the one that was named, `DFBUILD_ROOT`, or the usual one. `environment`
/// looks up a variable.
pub(crate) fn choose(
    given: Option<PathBuf>,
    is_root: bool,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<PathBuf, String> {
    let named = || environment("DFBUILD_ROOT").filter(|text| !text.is_empty()).map(PathBuf::from);
    given.or_else(named).map_or_else(|| default(is_root, environment), Ok)
}

fn default(is_root: bool, environment: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, String> {
    if is_root {
        return Ok("/var/lib/dfbuild".into());
    }
    // A relative path is to be ignored (XDG base directory specification, "Basics").
    let absolute = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .ok_or("no folder for the store: HOME is not set; name one with --root")?;
    Ok(data.join("dfbuild"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let home = |name: &str| (name == "HOME").then(|| "/home/me".to_owned());
        let data = |name: &str| match name {
            "XDG_DATA_HOME" => Some("/data".to_owned()),
            _ => home(name),
        };
        let relative = |name: &str| match name {
            "XDG_DATA_HOME" => Some("data".to_owned()),
            _ => home(name),
        };
        assert_eq!(default(true, &home).unwrap(), PathBuf::from("/var/lib/dfbuild"));
        assert_eq!(default(false, &home).unwrap(), PathBuf::from("/home/me/.local/share/dfbuild"));
        assert_eq!(default(false, &data).unwrap(), PathBuf::from("/data/dfbuild"));
        assert_eq!(default(false, &relative).unwrap(), default(false, &home).unwrap());
        assert!(default(false, &|_| None).is_err());
        let named = |name: &str| (name == "DFBUILD_ROOT").then(|| "/s".to_owned());
        assert_eq!(choose(None, false, &named).unwrap(), PathBuf::from("/s"));
        assert_eq!(choose(Some("/t".into()), false, &named).unwrap(), PathBuf::from("/t"));
    }
}
