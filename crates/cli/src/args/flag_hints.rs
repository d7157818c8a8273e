//! What to do instead of flags that fingers know from other programs.

use std::ffi::OsString;

const HINTS: &[(&str, &str)] = &[
    (
        "--fix",
        "`dfbuild fmt --write` changes what is a matter of form; other fixes are shown as patches",
    ),
    ("--diff", "`dfbuild fmt --diff` shows what formatting would change"),
    (
        "--cpus",
        "limit dfbuild itself and its commands with it, as `systemd-run --user --scope -p CPUQuota=200% dfbuild …`",
    ),
];

/// Those of kaniko, of which a script has several.
const KANIKO: &[(&str, &str)] = &[
    ("--context", "the context is the last word, a folder or an address: `dfbuild -t app FOLDER`"),
    ("--dockerfile", "`-f FILE` (`--file`) names the Dockerfile"),
    ("--destination", "`--push -t NAME` builds an image and pushes it"),
    ("--no-push", "nothing is pushed without `--push`"),
    ("--cache", "there always is a cache in the store; `--no-cache` goes without"),
    (
        "--cache-repo",
        "`--cache-from type=registry,ref=NAME --cache-to type=registry,ref=NAME,mode=max`",
    ),
    ("--cache-ttl", "`--cache-max-age 24h` runs commands again whose results are older"),
    ("--tar-path", "`-o type=docker,dest=FILE` writes an archive for `docker load`"),
    ("--oci-layout-path", "`-o type=oci,tar=false,dest=FOLDER` writes a layout"),
    ("--digest-file", "`--metadata-file FILE` has the digest as `containerimage.digest`"),
    ("--image-name-with-digest-file", "`--metadata-file FILE` has names and digest"),
    ("--insecure", "`--insecure-registry HOST` names those that speak http"),
    ("--insecure-pull", "`--insecure-registry HOST` names those that speak http"),
    ("--skip-tls-verify", "`--insecure-registry HOST` names those without a good certificate"),
    ("--registry-certificate", "`--registry-ca FILE` trusts an authority"),
    (
        "--context-sub-path",
        "the context is a folder, or `https://HOST/REPOSITORY.git#BRANCH:FOLDER`",
    ),
    ("--custom-platform", "`--platform linux/arm64`"),
    ("--reproducible", "set SOURCE_DATE_EPOCH in the environment"),
    ("--cleanup", "a build leaves nothing behind but its store"),
    ("--snapshot-mode", "leave it out: nothing scans the root file system after a command"),
    ("--single-snapshot", "leave it out: each step that changes files is a layer"),
    ("--use-new-run", "leave it out: nothing scans the root file system after a command"),
    ("--verbosity", "`--progress=plain` prints all, `-q` the image alone"),
];

/// The same where it depends on the command: its names, the flags, what to do.
const OF_COMMANDS: [(&[&str], &[&str], &str); 4] = [
    (&["rm", "rmi"], &["--platform"], "a name is taken away for all its platforms"),
    (&["load"], &["--platform"], "all platforms are loaded; `inspect` and `run` choose one"),
    (&["images"], &["--tree"], "`dfbuild inspect --format table NAME` lists the platforms"),
    (&["pull"], &["-a", "--all-tags"], "name each tag that is wanted"),
];

/// What to say of a flag that there is not; of one of kaniko's, what of all of them in the line.
pub(super) fn text(command: &str, flag: &str, args: &[OsString]) -> Option<String> {
    if of_kaniko(flag).is_some() {
        let flags = args.iter().filter_map(|arg| arg.to_str()?.split('=').next());
        let told: Vec<String> =
            flags.filter_map(|flag| Some(format!("\n  {flag}: {}", of_kaniko(flag)?))).collect();
        if told.len() > 1 {
            return Some(format!("there is no such flag:{}", told.concat()));
        }
    }
    instead(command, flag).map(|instead| format!("there is no {flag} here: {instead}"))
}

fn of_kaniko(flag: &str) -> Option<&'static str> {
    KANIKO.iter().find(|(name, _)| *name == flag).map(|(_, instead)| *instead)
}

fn instead(command: &str, flag: &str) -> Option<&'static str> {
    let of_command = OF_COMMANDS
        .iter()
        .find(|(commands, flags, _)| commands.contains(&command) && flags.contains(&flag));
    let general = || HINTS.iter().find(|(name, _)| *name == flag).map(|(_, instead)| *instead);
    of_command.map(|(_, _, instead)| *instead).or_else(general).or_else(|| of_kaniko(flag))
}
