//! What cannot be built: each ends with an error that says what to do, and an intact store.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use dfbuild_testkit::{Bed, Outcome, Skipped, Who, as_each_user, noise, program, run_or_skip};

as_each_user!(
    nothing_to_read,
    mistakes_in_the_dockerfile,
    what_is_not_there,
    commands_that_fail,
    another_processor,
    ids_that_nobody_gave,
);

/// Builds and looks for words in what is told.
fn fails(bed: &Bed, args: &[&str], expect: &[&str]) -> Outcome {
    let failed = bed.build(args).exits_with(1).says(expect);
    assert_eq!(failed.stdout, "");
    // A log ends with why there is no image.
    let last = failed.stderr.lines().next_back().unwrap();
    assert!(last.starts_with("ERROR: "), "{}", failed.stderr);
    let staged: Vec<_> = fs::read_dir(bed.store().join("staging")).into_iter().flatten().collect();
    assert!(staged.is_empty(), "{staged:?} after: {}", failed.stderr);
    failed
}

fn dockerfile(bed: &Bed, text: &str, expect: &[&str]) {
    bed.write("Dockerfile", text);
    let _ = fails(bed, &[], expect);
}

fn nothing_to_read(bed: &Bed) {
    let _ = fails(bed, &[], &["read Dockerfile", "No such file", "hint: -f FILE names"]);
    bed.write("Dockerfile", "FROM scratch\n");
    let _ = fails(bed, &["-f", "other"], &["read Dockerfile", "other", "hint: -f FILE names"]);
    let file = bed.context().join("Dockerfile");
    let failed = bed.run(&["build", file.to_str().unwrap()]).exits_with(1);
    let expect = "as build context: it is a file; give the folder that holds what is copied";
    assert!(failed.stderr.contains(expect), "{}", failed.stderr);
    let failed = bed.run(&["build", "no/such/folder"]).exits_with(1);
    assert!(failed.stderr.contains("there is no such folder"), "{}", failed.stderr);
    dockerfile(bed, "", &["the Dockerfile cannot be empty"]);
    dockerfile(bed, "# nothing\n", &["file with no instructions", "Dockerfile:1"]);
    // A folder in its place.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let _ = fails(bed, &[], &["read Dockerfile", "Is a directory"]);
}

fn mistakes_in_the_dockerfile(bed: &Bed) {
    // All at once, each with its place.
    dockerfile(
        bed,
        "FROM scratch\nCOPI a /a\nWORKDIR\nUSER\n",
        &[
            "unknown instruction: COPI (did you mean COPY?)",
            "--> Dockerfile:2:1",
            "--> Dockerfile:3:1",
            "--> Dockerfile:4:1",
            "\n\nERROR: failed to build: Dockerfile:2: unknown instruction: COPI (did you mean COPY?) (and 2 more errors)\n",
        ],
    );
    bed.write("Dockerfile", "FROM scratch\n");
    let noise = fails(bed, &["--target", "no"], &["target stage \"no\" could not be found"]);
    assert!(!noise.stderr.contains(":1"), "no place is at fault: {}", noise.stderr);
    bed.write("Dockerfile", "FORM scratch\nWORKDIR /a\n");
    let one = fails(bed, &[], &["Dockerfile:1: unknown instruction: FORM"]);
    assert!(!one.stderr.contains("no build stage"), "{}", one.stderr);
    dockerfile(
        bed,
        "FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n",
        &["cannot copy from stage \"b\"", "Dockerfile:2:13"],
    );
    dockerfile(bed, "FROM scratch AS a\nCOPY --from=a / /\n", &["circular dependency", ":2:13"]);
    bed.write("Dockerfile", "FROM scratch AS build\n");
    let _ = fails(bed, &["--target", "biuld"], &["target stage \"biuld\" could not be found"]);
}

/// Ids above those that an ordinary user has. Root has all, and with a single id none counts.
fn ids_that_nobody_gave(bed: &Bed) {
    bed.base();
    bed.write("file", "");
    for (dockerfile, why) in [
        ("FROM base\nCOPY --chown=3000000 file /\nRUN true\n", "give /file to 3000000:3000000"),
        ("FROM base\nUSER 3000000\nRUN true\n", "run as user 3000000 and group 0"),
    ] {
        bed.write("Dockerfile", dockerfile);
        let ended = bed.build(&[]);
        if bed.who() == Who::Mapped || ended.code != Some(0) {
            let _ =
                ended.exits_with(1).says(&[why, "hint: an ordinary user has the ids that /etc"]);
        }
    }
}

fn what_is_not_there(bed: &Bed) {
    bed.base();
    dockerfile(
        bed,
        "FROM base\nCOPY requirments.txt /\n",
        &["\"/requirments.txt\": not found", ">>> COPY requirments.txt /"],
    );
    bed.write("requirements.txt", "");
    dockerfile(
        bed,
        "FROM base\nCOPY requirments.txt /\n",
        &["not found", "hint: did you mean /requirements.txt?"],
    );
    bed.write(".dockerignore", "requirements.txt\n");
    let rule = ".dockerignore:1 leaves it out (requirements.txt)";
    dockerfile(
        bed,
        "FROM base\nCOPY requirements.txt /\n",
        &["not found in the build context /", rule],
    );
    bed.write("Dockerfile", "FROM base\nCOPY requ*.txt /x/\n");
    let _ =
        bed.build(&[]).exits_with(0).says(&["requ*.txt copies nothing", "(1) is ignored", rule]);
    let copies = "FROM base AS tools\nFROM base\nCOPY --from=tools /no /\n";
    dockerfile(bed, copies, &["\"/no\": not found in stage tools"]);
    bed.write("Dockerfile", "FROM base\nCOPY --chown=nobdy Dockerfile /\n");
    let _ = bed.build(&[]).exits_with(0).says(&["line 2: there is no user nobdy in /etc/passwd"]);
    dockerfile(bed, "FROM base\nCOPY ../no /\n", &["hint: `..` does not lead out of it"]);
    // What the base sets is known before anything runs.
    let undefined = "FROM base\nLABEL a=$CI_SHA b=$PATH\nRUN true\n";
    bed.write("Dockerfile", undefined);
    let list = "\n 1 warning found (`dfbuild check` shows the places):\n \
                - UndefinedVar: Usage of undefined variable '$CI_SHA' (line 2)\n";
    let _ = bed.build(&[]).exits_with(0).says(&[list]);
    bed.write("Dockerfile", format!("# check=error=true\n{undefined}"));
    let refused = fails(
        bed,
        &[],
        &[
            "(line 3)\n",
            "ERROR: failed to build: failed to solve: lint violation found for rules: UndefinedVar\n",
        ],
    );
    assert_eq!(refused.ran_steps(), [] as [&str; 0], "{}", refused.stderr);
    // Nothing listens there.
    let offline = ["--offline"];
    bed.write("Dockerfile", "FROM localhost:1/none:1\n");
    let _ = fails(bed, &[], &[">>> FROM localhost:1/none:1", "Connection refused", "hint: "]);
    bed.write("Dockerfile", "FROM base AS build\nFROM biuld\n");
    let place = [">>> FROM biuld", "hint: did you mean the stage `build`?"];
    let _ = fails(bed, &offline, &place);
    bed.write("Dockerfile", "FROM later\nFROM scratch AS later\nCOPY --from=0 / /\n");
    let late = ["stage `later` is defined at line 2, after its use here"];
    let _ = fails(bed, &offline, &late);
    bed.write("Dockerfile", "FROM self AS self\n");
    let _ = fails(bed, &offline, &["hint: stage `self` cannot be its own base\n"]);
    bed.write("Dockerfile", "FROM bas\n");
    let _ = fails(bed, &offline, &["no local image bas:latest", "hint: did you mean base? Else"]);
    bed.write("Dockerfile", "FROM base\n");
    let _ = bed.build(&["--no-cache-filter=no"]).exits_with(0).says(&["there is no such stage"]);
    bed.write("Dockerfile", "FROM none\n");
    let _ = fails(
        bed,
        &offline,
        &["no local image none:latest", "hint: build it first with `-t none`"],
    );
}

fn commands_that_fail(bed: &Bed) {
    bed.base();
    dockerfile(bed, "FROM base\nRUN exit 3\n", &["exit code: 3", ">>> RUN exit 3"]);
    // Secrets that nobody gave.
    let mount = "RUN --mount=type=secret,id=token";
    let hint = "hint: not given to it: secret token (--secret id=token,src=FILE)";
    dockerfile(bed, &format!("FROM base\n{mount} cat /run/secrets/token\n"), &[hint]);
    bed.write("Dockerfile", format!("FROM base\n{mount},env=TOKEN,required true\n"));
    let _ = fails(bed, &["--secret", "id=token,env=DFBUILD_UNSET"], &["secret token: not found"]);
    // As when memory runs out: the shell tells how its child ended.
    dockerfile(
        bed,
        "FROM base\nRUN sh -c 'kill -9 $$'; exit $?\n",
        &["exit code: 137", "hint: exit code 137", "memory"],
    );
    let failed = fails(bed, &["-t", "app"], &[]);
    assert!(failed.stderr.contains("ERROR: "), "{}", failed.stderr);
    assert_eq!(bed.run(&["images", "-q", "app"]).succeeds().stdout, "");
}

/// The name of a processor that this machine is not and that nobody emulates.
const FOREIGN: &str = "s390x";

fn another_processor(bed: &Bed) -> Result<(), Skipped> {
    if fs::exists(format!("/proc/sys/fs/binfmt_misc/qemu-{FOREIGN}")).unwrap_or(false) {
        return Err(Skipped::because("this machine emulates s390x"));
    }
    bed.write("file", "x");
    bed.write("Dockerfile", "FROM scratch\nCOPY file /file\nENV A=b\n");
    let platform = format!("linux/{FOREIGN}");
    let _ = bed.build(&["--platform", &platform, "-t", "foreign"]).succeeds();
    // Files and configuration take no program of it; that it is another one is worth a word.
    bed.write("Dockerfile", "FROM foreign\nCOPY file /other\n");
    let built = bed.build(&["--offline", "-t", "other"]).succeeds();
    let warning = format!("pulled with platform \"{platform}\", expected");
    assert!(built.stderr.contains(&warning), "{}", built.stderr);
    assert_eq!(bed.image("other").config["architecture"], FOREIGN);
    // A command is refused before anything is made.
    bed.write("Dockerfile", "FROM foreign\nCOPY file /new\nRUN true\n");
    let expect = [">>> RUN true", "cannot run a command for linux/s390x", "hint: ", "binfmt_misc"];
    let refused = fails(bed, &["--offline"], &expect);
    assert_eq!(refused.ran_steps(), [] as [&str; 0], "{}", refused.stderr);
    Ok(())
}

/// Runs a shell script with the command as `$DFBUILD`, in a mount namespace of its own.
fn in_namespace(bed: &Bed, script: &str) -> Result<Outcome, Skipped> {
    let flags = if bed.who().is_root() { "-m" } else { "-Urm" };
    let command = bed.build_command(&[]);
    let mut unshare = Command::new(program("unshare")?);
    unshare.args([flags, "sh", "-euc", script]).env_clear();
    unshare.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    unshare.env("DFBUILD", command.get_program()).current_dir(bed.path());
    Ok(unshare.output().expect("unshare can be started").into())
}

fn bed() -> Result<Bed, Skipped> {
    Bed::new(&PathBuf::from(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)
}

#[test]
fn a_full_disk() {
    run_or_skip("a_full_disk", || {
        let bed = bed()?;
        bed.base();
        let base = bed.join("base");
        assert!(base.is_dir(), "the base lies beside the store");
        bed.write("Dockerfile", "FROM base\nCOPY big /big\nRUN true\n");
        bed.write("big", noise(24 << 20));
        bed.write("Small", "FROM base\nRUN echo small > /small\n");
        let ended = in_namespace(
            &bed,
            "mount -t tmpfs -o size=16m none store
             mkdir store/root; export DFBUILD_ROOT=store/root
             $DFBUILD build -q -t base base >&2
             ! $DFBUILD build --progress=plain context || exit 90
             echo; ls -A store/root/staging; echo
             $DFBUILD build -q -f context/Small context",
        )?
        .succeeds();
        for part in ["hint: the disk is full", "No space left on device"] {
            assert!(ended.stderr.contains(part), "no {part} in: {}", ended.stderr);
        }
        assert!(ended.stdout.starts_with("\n\nsha256:"), "{}", ended.stdout);
        Ok(())
    });
}

#[test]
fn a_read_only_store() {
    run_or_skip("a_read_only_store", || {
        let bed = bed()?;
        bed.base();
        bed.write("Dockerfile", "FROM base\nRUN echo done > /done\nCOPY file /file\n");
        bed.write("file", "old");
        bed.write("Other", "FROM base\nRUN echo other > /other\n");
        let ended = in_namespace(
            &bed,
            "$DFBUILD build -q -t app context
             mount --bind store store; mount -o remount,bind,ro store
             $DFBUILD build -q -t app context
             ! $DFBUILD build -q -f context/Other context || exit 90
             $DFBUILD images -q app",
        )?
        .succeeds();
        for part in ["Read-only file system", "hint: the store is on a read-only file system"] {
            assert!(ended.stderr.contains(part), "no {part} in: {}", ended.stderr);
        }
        let ids: Vec<&str> = ended.stdout.lines().collect();
        assert_eq!(ids.len(), 3, "{}", ended.stdout);
        assert_eq!(ids[0], ids[1]);
        Ok(())
    });
}
