use dfbuild::Ulimit;

/// What `getrlimit` can limit, by docker's names.
const NAMES: [&str; 16] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
    "as",
];

/// Reads `NAME=SOFT[:HARD]`; -1 is unlimited, and the hard limit is the soft one if it is missing.
pub(crate) fn parse(value: &str) -> Result<Ulimit, String> {
    let (name, limits) = value.split_once('=').ok_or("expected NAME=SOFT[:HARD]")?;
    if !NAMES.contains(&name) {
        return Err(format!("`{name}` is no limit: there are {}", NAMES.join(", ")));
    }
    let (soft, hard) = match limits.split_once(':') {
        Some((soft, hard)) => (limit(soft)?, limit(hard)?),
        None => (limit(limits)?, limit(limits)?),
    };
    if soft > hard {
        return Err(format!("the soft limit must not be above the hard limit: {limits}"));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

/// The kernel writes "unlimited" as the largest number (`RLIM_INFINITY`).
fn limit(text: &str) -> Result<u64, String> {
    match text {
        "-1" => Ok(u64::MAX),
        _ => text.parse().map_err(|_| format!("`{text}` is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for (given, name, soft, hard) in [
            ("nofile=1024", "nofile", 1024, 1024),
            ("nofile=1062:1063", "nofile", 1062, 1063),
            ("core=0:-1", "core", 0, u64::MAX),
            ("memlock=-1", "memlock", u64::MAX, u64::MAX),
        ] {
            assert_eq!(parse(given), Ok(Ulimit { name: name.into(), soft, hard }), "{given}");
        }
        for bad in ["nofile", "nofile=", "nofile=2:1", "nofile=-1:5", "files=1", "cpu=1:2:3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
