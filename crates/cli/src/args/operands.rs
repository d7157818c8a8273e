use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// Ends the flags of `command` at its first operand, as docker does for `run`: what stands behind the
/// image belongs to the command in it, `-c` of a shell above all. `from` is where the flags begin, and
/// `command` is built.
pub(super) fn end_flags_at_first(args: &mut Vec<OsString>, from: usize, command: &Command) {
    let mut at = from;
    while let Some(arg) = args.get(at) {
        if arg == "--" {
            return;
        }
        match arg.to_str().filter(|text| text.len() > 1).and_then(|text| text.strip_prefix('-')) {
            Some(flag) => at += if wants_next(flag, command) { 2 } else { 1 },
            None => break,
        }
    }
    if at < args.len() {
        args.insert(at, "--".into());
        // Some write it themselves, as behind `shell IMAGE`.
        if args.get(at + 2).map(OsString::as_os_str) == Some(OsStr::new("--")) {
            args.remove(at + 2);
        }
    }
}

/// Whether the word behind a flag, or behind several short ones together, is its value.
fn wants_next(flag: &str, command: &Command) -> bool {
    let is_valued = |arg: &Arg| arg.get_num_args().is_some_and(|range| range.min_values() > 0);
    if let Some(name) = flag.strip_prefix('-') {
        let is_named = |arg: &&Arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(name) || aliases.contains(&name)
        };
        return command.get_arguments().find(is_named).is_some_and(is_valued);
    }
    let mut shorts = flag.chars();
    let valued = shorts.by_ref().find(|&short| {
        let named = command.get_arguments().find(|arg| arg.get_short() == Some(short));
        named.is_some_and(is_valued)
    });
    valued.is_some() && shorts.as_str().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_end_at_the_first_operand() {
        let mut command = Command::new("run").args([
            Arg::new("env").short('e').long("env").alias("variable").num_args(1),
            Arg::new("tty").short('t').num_args(0),
        ]);
        command.build();
        for (line, expect) in [
            ("-t image -t -e", "-t -- image -t -e"),
            ("-e a image -c x", "-e a -- image -c x"),
            ("-ea image", "-ea -- image"),
            ("-te a image", "-te a -- image"),
            ("--env a image", "--env a -- image"),
            ("--variable a image", "--variable a -- image"),
            ("--env=a image --env", "--env=a -- image --env"),
            ("image -- sh", "-- image sh"),
            ("image sh -- -c", "-- image sh -- -c"),
            ("-- image -c", "-- image -c"),
            ("--unknown image", "--unknown -- image"),
            ("-t", "-t"),
            ("- x", "-- - x"),
        ] {
            let mut args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            end_flags_at_first(&mut args, 0, &command);
            let expect: Vec<OsString> = expect.split(' ').map(OsString::from).collect();
            assert_eq!(args, expect, "{line}");
        }
    }
}
