//! Commands in images, in stages, and where a step failed.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::Write;
use std::process::Stdio;

use dfbuild_testkit::{Bed, Outcome, Skipped, as_each_user, as_each_user_with_copies, program};

as_each_user!(
    images_are_tried_out,
    what_a_command_is_given,
    signals_end_a_command,
    a_terminal_of_its_own,
    a_shell_where_a_step_failed,
    a_shell_with_the_mounts_of_the_step,
    a_shell_in_a_stage,
);

as_each_user_with_copies!(images_are_tried_out, a_shell_where_a_step_failed);

fn app(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nRUN echo image > /made\nENV A=b\nVOLUME /data/db /made\nWORKDIR /srv\nCMD [\"sh\", \"-c\", \"cat /made; exit 3\"]\n",
    );
    let _ = bed.build(&["-t", "app"]).succeeds();
}

/// Runs the command with something on its standard input.
fn with_input(bed: &Bed, args: &[&str], input: &str) -> Outcome {
    let mut command = bed.command();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

fn images_are_tried_out(bed: &Bed) {
    app(bed);
    let ran = bed.run(&["run", "--rm", "app"]).exits_with(3);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("image\n", ""));
    // What it changes is gone.
    let changed = bed.run(&["run", "app", "sh", "-c", "echo no > /made; cat /made"]).succeeds();
    assert_eq!(changed.stdout, "no\n");
    assert_eq!(bed.run(&["run", "app", "cat", "/made"]).succeeds().stdout, "image\n");
    // The folders of its volumes are there, and what else the image has in their places.
    let wrote = bed.run(&["run", "app", "sh", "-c", "echo x > /data/db/x; ls /data/db"]).succeeds();
    assert_eq!(wrote.stdout, "x\n");
    let missing = bed.run(&["run", "app", "nope"]).exits_with(127);
    let _ = missing.says(&["hint: exit code 127", "failed to execute nope: No such file"]);
    let folder = bed.run(&["run", "app", "/srv"]).exits_with(126);
    let _ = folder.says(&["failed to execute /srv"]);
    let killed = bed.run(&["run", "app", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]);
    let _ = killed.exits_with(137);
    // What fails before there is a command has a code of its own, as with docker.
    for (args, part) in [
        (&["run", "--pull=never", "apq"][..], "failed to find image apq"),
        (&["run", "--offline", "apq"], "did you mean app?"),
        (&["run", "-u", "nobody", "app"], "unable to find user nobody"),
        (&["run", "--frobnicate", "app"], "unexpected argument '--frobnicate'"),
        (
            &["run", "--cap-drop=ALL", "app"],
            "error: --cap-drop is not there: a command has docker's",
        ),
    ] {
        let _ = bed.run(args).exits_with(125).says(&[part]);
    }
}

fn what_a_command_is_given(bed: &Bed) {
    app(bed);
    let out = |args: &[&str]| bed.run(&[&["run"], args].concat()).succeeds().stdout;
    let env = out(&["-e", "A=c", "-e", "UNSET", "-e", "B=d e", "-w", "/new/folder", "app", "env"]);
    for line in ["A=c", "B=d e", "PWD=/new/folder", "HOME=/root"] {
        assert!(line.starts_with("PWD") || env.lines().any(|known| known == line), "{line}: {env}");
    }
    assert!(!env.contains("UNSET"), "{env}");
    assert_eq!(out(&["-w", "sub", "app", "sh", "-c", "pwd"]), "/srv/sub\n");
    assert_eq!(out(&["--entrypoint", "/bin/cat", "app", "/made"]), "image\n");
    assert_eq!(out(&["--hostname", "here", "app", "uname", "-n"]), "here\n");
    assert_eq!(out(&["-h", "here", "app", "uname", "-n"]), "here\n");
    assert_eq!(out(&["--entrypoint", "/bin/sh", "app", "-c", "echo -h"]), "-h\n");
    let other = bed.run(&["run", "--pull=never", "--platform", "linux/s390x", "app"]);
    let _ = other
        .exits_with(125)
        .says(&["find image app: it is for linux/", ", and not for linux/s390x"]);
    let writes = "{ echo > /made; } 2>/dev/null || echo refused; echo > /tmp/a; echo > /fast/b; ls /tmp /fast";
    let memory = ["--read-only", "--tmpfs", "/tmp:size=1m", "--mount", "type=tmpfs,dst=/fast"];
    let written = out(&[&memory[..], &["app", "sh", "-c", writes]].concat());
    assert_eq!(written, "refused\n/fast:\nb\n\n/tmp:\na\n");
    let may = |args: &[&str]| {
        let status = out(&[args, &["app", "cat", "/proc/self/status"]].concat());
        status.lines().find(|line| line.starts_with("CapEff")).unwrap().to_owned()
    };
    assert_ne!(may(&[]), may(&["--privileged"]));
    let docker = bed.run(&["run", "--init", "--name", "x", "-l", "a=b", "app", "true"]).succeeds();
    assert!(docker.stderr.starts_with("notice: --init does not count here"), "{}", docker.stderr);
    let hosts = out(&["--add-host", "db:10.0.0.7", "app", "cat", "/etc/hosts"]);
    assert!(hosts.contains("10.0.0.7\tdb\n"), "{hosts}");
    let interfaces = out(&["--network", "none", "app", "ls", "/sys/class/net"]);
    assert_eq!(interfaces.split_whitespace().collect::<Vec<_>>(), ["lo"]);
    let as_ann = bed.run(&["run", "--rm", "-u", "ann", "app", "id", "-u"]).succeeds();
    assert_eq!(as_ann.stdout, if bed.has_one_id() { "0\n" } else { "1000\n" });
    assert_eq!(as_ann.stderr.contains("only one user id can be mapped"), bed.has_one_id());
    // As docker's client hands them over.
    let docker = bed.join("home/.docker");
    fs::create_dir_all(&docker).unwrap();
    let proxies = r#"{"proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "a,b"}}}"#;
    fs::write(docker.join("config.json"), proxies).unwrap();
    let echo = "echo $HTTP_PROXY $http_proxy $NO_PROXY";
    let output = out(&["-e", "http_proxy=mine", "app", "sh", "-c", echo]);
    assert_eq!(output, "http://p:1 mine a,b\n");
    let built = format!("FROM app\nRUN {echo} > /proxies; ! env | grep https_proxy\n");
    bed.write("Dockerfile", built);
    let _ = bed.build(&["-t", "proxied", "--build-arg", "http_proxy=mine"]).succeeds();
    assert_eq!(out(&["proxied", "cat", "/proxies"]), "mine mine a,b\n");
    // Files of this machine, for reading or for writing.
    let shared = bed.join("out/shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "of this machine").unwrap();
    bed.own(&shared);
    let volume = format!("{}:/shared", shared.display());
    assert_eq!(out(&["-v", &volume, "app", "cat", "/shared/file"]), "of this machine");
    let _ = out(&["-v", &volume, "app", "sh", "-c", "echo back > /shared/back"]);
    assert_eq!(fs::read_to_string(shared.join("back")).unwrap(), "back\n");
    let read_only = format!("{volume}:ro");
    let refused = bed.run(&["run", "-v", &read_only, "app", "sh", "-c", "echo x > /shared/file"]);
    let _ = refused.exits_with(1).says(&["Read-only"]);
    let mount = format!("type=bind,src={},dst=/shared,readonly", shared.display());
    assert_eq!(out(&["--mount", &mount, "app", "cat", "/shared/back"]), "back\n");
    let missing = bed.run(&["run", "-v", "/nonexistent:/x", "app"]).exits_with(125);
    let _ = missing.says(&["mount /nonexistent: No such file"]);
    // Standard input only if it is asked for.
    assert_eq!(with_input(bed, &["run", "app", "cat"], "in").succeeds().stdout, "");
    assert_eq!(with_input(bed, &["run", "-i", "app", "cat"], "in").succeeds().stdout, "in");
}

fn signals_end_a_command(bed: &Bed) {
    app(bed);
    let mut command = bed.command();
    let script = "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.1; done";
    command.args(["run", "app", "sh", "-c", script]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "told");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

/// `script` gives the command a terminal to begin with.
fn a_terminal_of_its_own(bed: &Bed) -> Result<(), Skipped> {
    app(bed);
    program("script")?;
    let inside = "stty size 2>/dev/null; test -t 0 && test -t 1 && echo terminal; \
                  read line; echo got $line; exit 6";
    let run = format!("{} run -it app sh -c '{inside}'", bed.program().display());
    let mut command = bed.command();
    let log = bed.join("out/typescript");
    command.args(["run", "-t", "app", "sh", "-c", "test -t 0 && test -t 2 && echo terminal"]);
    let output: Outcome = command.output().unwrap().into();
    assert_eq!(output.succeeds().stdout, "terminal\r\n");
    let mut command = bed.command_of("script");
    command.args(["-qec", &run]).arg(&log);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let output: Outcome = child.wait_with_output().unwrap().into();
    let output = output.exits_with(6);
    for part in ["terminal\r\n", "got typed\r\n"] {
        assert!(output.stdout.contains(part), "{part}: {}", output.stdout);
    }
    Ok(())
}

fn shell(bed: &Bed, script: &str) -> Outcome {
    bed.run(&["shell", "--", "sh", "-c", script])
}

fn a_shell_where_a_step_failed(bed: &Bed) {
    bed.base();
    let _ = bed.run(&["shell"]).exits_with(125).says(&["no step has failed in this store"]);
    bed.write("file", "of the context");
    bed.write(
        "Dockerfile",
        "FROM base\nENV A=b\nWORKDIR /srv\nRUN echo before > before\n\
         RUN echo part > part && rm before && echo failing >&2 && exit 9\n",
    );
    let failed = bed.build(&[]).exits_with(1);
    let _ = failed.says(&[
        ">>> RUN echo part",
        "hint: `dfbuild shell` opens a shell where it failed",
        "exit code: 9",
    ]);
    let found = shell(bed, "pwd; cat part; ls; echo $A; ls /nonexistent").exits_with(1);
    assert_eq!(found.stdout, "/srv\npart\npart\nb\n", "{}", found.stderr);
    let _ = found.says(&["line 5 failed: RUN echo part > part", "exit code: 9"]);
    let piped = with_input(bed, &["shell"], "echo $A > new; cat new; exit 4\n").exits_with(4);
    assert_eq!(piped.stdout, "b\n");
    // The next failure takes its place; a build that succeeds does not.
    bed.write("Dockerfile", "FROM base\nRUN echo ok\n");
    let _ = bed.build(&[]).succeeds();
    assert_eq!(shell(bed, "cat part").succeeds().stdout, "part\n");
    bed.write("Dockerfile", "FROM base\nRUN echo other > /other; nope\n");
    let failed = bed.build(&[]).exits_with(1);
    let _ = failed.says(&["hint: exit code 127", "hint: `dfbuild shell`"]);
    assert_eq!(shell(bed, "cat /other; test ! -e /srv/part").succeeds().stdout, "other\n");
    // One that could not be started is a failed one too.
    bed.write("Dockerfile", "FROM base\nRUN [\"/nope\"]\n");
    let _ = bed.build(&[]).exits_with(1);
    let _ = shell(bed, "test ! -e /other").succeeds();
}

fn a_shell_with_the_mounts_of_the_step(bed: &Bed) {
    const VALUE: &str = "hunter2-is-not-a-good-one";
    bed.base();
    bed.write("file", "of the context");
    bed.write(
        "Dockerfile",
        "FROM base AS other\nRUN echo other > /of-other\nFROM base\n\
         RUN --mount=type=cache,target=/cache --mount=type=bind,target=/context \
         --mount=type=bind,from=other,target=/stage,rw \
         --mount=type=tmpfs,target=/fast/inner --mount=type=tmpfs,target=/fast \
         --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=token \
         echo cached > /cache/file; echo new > /stage/new; test -n \"$TOKEN\"; exit 1\n",
    );
    let secret = bed.join("out/secret");
    fs::write(&secret, VALUE).unwrap();
    let secret = format!("id=token,src={}", secret.display());
    let _ = bed.build(&["--secret", &secret]).exits_with(1);
    let script =
        "cat /cache/file /context/file /stage/of-other /stage/new; ls /fast; echo [$TOKEN]";
    let without = shell(bed, script).succeeds();
    assert_eq!(
        without.stdout, "cached\nof the contextother\nnew\ninner\n[]\n",
        "{}",
        without.stderr
    );
    let _ = without.says(&["secret token is not mounted: give it again with --secret id=token"]);
    let kept = std::process::Command::new("grep").args(["-rqaF", VALUE]).arg(bed.store()).status();
    assert!(!kept.unwrap().success(), "the secret is in the store");
    let script = "cat /run/secrets/token; echo \" [$TOKEN]\"";
    let with = bed.run(&["shell", "--secret", &secret, "--", "sh", "-c", script]).succeeds();
    assert_eq!(with.stdout, format!("{VALUE} [{VALUE}]\n"));
}

fn a_shell_in_a_stage(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base AS build\nENV A=b\nWORKDIR /work\nRUN echo made > made\n\
         FROM base\nCOPY --from=build /work/made /\nENTRYPOINT [\"/nope\"]\n",
    );
    let _ = bed.build(&["-t", "app"]).succeeds();
    let of = |place: &str, script: &str| bed.run(&["shell", place, "--", "sh", "-c", script]);
    assert_eq!(of("build", "pwd; cat made; echo $A").succeeds().stdout, "/work\nmade\nb\n");
    // The entrypoint of an image is not what a shell is for.
    assert_eq!(of("app", "cat /made").succeeds().stdout, "made\n");
    let missing = of("nope", "true").exits_with(125);
    let _ = missing.says(&["stages of the last build: build, stage-1", "neither an image nor"]);
}
