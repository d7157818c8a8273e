//! What to do instead of flags that fingers know from other programs.

const HINTS: [(&str, &str); 3] = [
    (
        "--fix",
        "`dfbuild fmt --write` changes what is a matter of form; other fixes are shown as patches",
    ),
    ("--diff", "`dfbuild fmt FILE | diff FILE -` shows what would change"),
    (
        "--cpus",
        "limit dfbuild itself and its commands with it, as `systemd-run --user --scope -p CPUQuota=200% dfbuild …`",
    ),
];

/// What to say of a flag that there is not.
pub(super) fn instead(flag: &str) -> Option<&'static str> {
    HINTS.iter().find(|(name, _)| *name == flag).map(|(_, instead)| *instead)
}
