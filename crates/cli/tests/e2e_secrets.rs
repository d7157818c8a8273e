//! Secrets and ssh agents: they reach the commands that mount them, and nothing else.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dfbuild_testkit::{Bed, Outcome, Skipped, as_each_user, eventually, program};

as_each_user!(
    secrets_are_not_shown,
    secrets_in_layers_are_told,
    secrets_in_copies_are_told,
    pipes_are_read_once,
    agents_are_forwarded,
    agents_that_are_not_there,
);

const VALUE: &str = "hunter2-is-not-a-good-one";

fn secret_file(bed: &Bed) -> String {
    let path = bed.join("out/secret");
    fs::write(&path, format!("{VALUE}\n")).unwrap();
    format!("id=token,src={}", path.display())
}

/// Whether any file of the store has the value in it.
fn is_in_store(bed: &Bed) -> bool {
    let grep = Command::new("grep").args(["-rqaF", VALUE]).arg(bed.store()).status().unwrap();
    grep.success()
}

fn secrets_are_not_shown(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nRUN --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=token \
         cat /run/secrets/token; echo \"in $TOKEN out\" >&2; \
         printf '%.10s' \"$TOKEN\"; printf '%s.\\n' \"${TOKEN#??????????}\"; \
         printf '%.5s\\n' \"$TOKEN\"\n",
    );
    for progress in ["plain", "rawjson"] {
        let context = bed.context();
        let secret = secret_file(bed);
        let args = ["build", "--no-cache", "--progress", progress, "--secret", &secret];
        let built = bed.run(&[&args[..], &[context.to_str().unwrap()]].concat()).succeeds();
        assert!(!built.stderr.contains(VALUE), "{}", built.stderr);
        if progress == "plain" {
            for line in [" ***", " in ***", " hunte"] {
                assert!(
                    built.stderr.lines().any(|it| it.ends_with(line)),
                    "{line}: {}",
                    built.stderr
                );
            }
        }
    }
    // A failed step repeats its output.
    bed.write(
        "Dockerfile",
        "FROM base\nRUN --mount=type=secret,id=token cat /run/secrets/token; false\n",
    );
    let failed = bed.build(&["--secret", &secret_file(bed)]).exits_with(1);
    assert!(!failed.stderr.contains(VALUE) && failed.stderr.contains("***"), "{}", failed.stderr);
    assert!(!is_in_store(bed));
}

fn secrets_in_layers_are_told(bed: &Bed) {
    bed.base();
    let secret = secret_file(bed);
    let text = "FROM base\nRUN --mount=type=secret,id=token \
                mkdir /app && (head -c 300000 /dev/zero; cat /run/secrets/token) > /app/config && \
                echo short > /app/other\n";
    bed.write("Dockerfile", text);
    let notice = "secret token is in /app/config of the layer that is made at line 2";
    let refused = bed.build(&["--secret", &secret, "--secret-leak=error"]).exits_with(1);
    for part in ["secret token is in /app/config", ">>> RUN", "hint: "] {
        assert!(refused.stderr.contains(part), "no `{part}` in: {}", refused.stderr);
    }
    let told = bed.build(&["--secret", &secret]).succeeds();
    assert!(told.stderr.contains(notice), "{}", told.stderr);
    assert_eq!(told.stderr.matches("secret token is in").count(), 1, "{}", told.stderr);
    assert!(!told.stderr.contains(VALUE), "{}", told.stderr);
    let off = bed.build(&["--secret", &secret, "--secret-leak=off", "--no-cache"]).succeeds();
    assert!(!off.stderr.contains("secret token"), "{}", off.stderr);
    // A value of eleven bytes is in files by chance.
    fs::write(bed.join("out/secret"), "hunter2hunt").unwrap();
    let short = bed.build(&["--secret", &secret, "--no-cache", "--secret-leak=error"]).succeeds();
    assert!(!short.stderr.contains("secret token"), "{}", short.stderr);
}

fn secrets_in_copies_are_told(bed: &Bed) {
    bed.base();
    bed.write("config", format!("password = {VALUE}\n"));
    bed.write(
        "Dockerfile",
        "FROM base AS build\nRUN --mount=type=secret,id=token cp /run/secrets/token /leaked\n\
         FROM scratch\nCOPY --from=build /leaked /copied\nCOPY config /config\n",
    );
    let told = bed.build(&["--secret", &secret_file(bed)]).succeeds();
    for (path, line) in [("/leaked", 2), ("/copied", 4), ("/config", 5)] {
        let notice = format!("secret token is in {path} of the layer that is made at line {line}");
        assert!(told.stderr.contains(&notice), "no `{notice}` in: {}", told.stderr);
    }
}

fn pipes_are_read_once(bed: &Bed) -> Result<(), Skipped> {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nRUN --mount=type=secret,id=token test -s /run/secrets/token\n\
         RUN --mount=type=secret,id=token test -s /run/secrets/token\n",
    );
    let pipe = bed.join("out/pipe");
    let made = Command::new(program("mkfifo")?).arg(&pipe).status().unwrap();
    assert!(made.success());
    bed.own(&bed.join("out"));
    let to = pipe.clone();
    let writer = std::thread::spawn(move || fs::write(to, VALUE).unwrap());
    let secret = format!("id=token,src={}", pipe.display());
    let _ = bed.build(&["--secret", &secret]).succeeds();
    writer.join().unwrap();
    Ok(())
}

/// An agent with one key, which ends with the value.
struct Agent {
    process: Child,
    socket: PathBuf,
    fingerprint: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command as the user of the bed: an agent speaks with nobody else.
fn who(bed: &Bed, program: &Path) -> Command {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    let owner = fs::metadata(bed.path()).unwrap();
    let mut command = Command::new(program);
    if !bed.who().is_caller() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.env_clear().env("HOME", bed.join("home")).env("PATH", "/usr/bin:/bin");
    command.env("SSH_AUTH_SOCK", bed.join("out/agent")).stdin(Stdio::null());
    command
}

fn agent(bed: &Bed) -> Result<Agent, Skipped> {
    let (agent, add, keygen) = (program("ssh-agent")?, program("ssh-add")?, program("ssh-keygen")?);
    let socket = bed.join("out/agent");
    let mut command = who(bed, &agent);
    command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null());
    let process = command.spawn().unwrap();
    let mut made = Agent { process, socket, fingerprint: String::new() };
    eventually("the agent listens", || made.socket.exists());
    let key = bed.join("out/key");
    let key = key.to_str().unwrap();
    // Not as the user of the bed, who may have no account.
    let keygen = |args: &[&str]| Command::new(&keygen).args(args).output().unwrap();
    assert!(keygen(&["-q", "-t", "ed25519", "-N", "", "-f", key]).status.success());
    bed.own(&bed.join("out"));
    let added = who(bed, &add).args(["-q", key]).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let listed = String::from_utf8_lossy(&keygen(&["-l", "-f", key]).stdout).into_owned();
    listed.split(' ').nth(1).unwrap().clone_into(&mut made.fingerprint);
    Ok(made)
}

/// Puts `ssh-add` and the libraries that it needs into the context, at their own paths.
fn copy_client(bed: &Bed) -> Result<(), Skipped> {
    let add = program("ssh-add")?;
    let listed = Command::new(program("ldd")?).arg(&add).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for path in libraries.map(PathBuf::from).chain([add]) {
        let to = format!("client{}", path.display());
        bed.write(&to, fs::read(&path).unwrap());
        let to = bed.context().join(&to);
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
    }
    Ok(())
}

fn build_with(bed: &Bed, agent: Option<&Agent>, args: &[&str]) -> Outcome {
    let mut command = bed.build_command(args);
    if let Some(agent) = agent {
        command.env("SSH_AUTH_SOCK", &agent.socket);
    }
    command.output().unwrap().into()
}

fn agents_are_forwarded(bed: &Bed) -> Result<(), Skipped> {
    let agent = agent(bed)?;
    bed.base();
    copy_client(bed)?;
    // A link of the image leads the socket nowhere outside.
    bed.write(
        "Dockerfile",
        "FROM base\nCOPY client /\n\
         RUN mkdir /run && ln -s ../../../../../../nonexistent /run/elsewhere\n\
         RUN --mount=type=ssh ssh-add -l && test \"$SSH_AUTH_SOCK\" = /run/buildkit/ssh_agent.0\n\
         RUN --mount=type=ssh,id=other,target=/tmp/../x/socket,mode=0666,required \
         ssh-add -l && test \"$SSH_AUTH_SOCK\" = /x/socket\n\
         RUN --mount=type=ssh,target=/run/elsewhere/../../socket ssh-add -l\n\
         RUN test ! -e /run/buildkit && test -z \"$SSH_AUTH_SOCK\"\n",
    );
    let other = format!("other={}", agent.socket.display());
    let flags = ["--ssh", "default", "--ssh", &other, "-t", "app"];
    let built = build_with(bed, Some(&agent), &flags).succeeds();
    assert_eq!(built.stderr.matches(&agent.fingerprint).count(), 3, "{}", built.stderr);
    assert!(!Path::new("/nonexistent").exists());
    // Another user may speak with it if the mount says so.
    if !bed.has_one_id() {
        bed.write(
            "Dockerfile",
            "FROM app\nUSER ann\nRUN --mount=type=ssh,uid=1000,gid=1000,mode=0600 ssh-add -l\n\
             RUN --mount=type=ssh ! ssh-add -l\n",
        );
        let built = build_with(bed, Some(&agent), &["--ssh", "default"]).succeeds();
        assert_eq!(built.stderr.matches(&agent.fingerprint).count(), 1, "{}", built.stderr);
    }
    Ok(())
}

fn agents_that_are_not_there(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile", "FROM base\nRUN --mount=type=ssh test ! -e \"$SSH_AUTH_SOCK\"\n");
    let _ = bed.build(&[]).succeeds();
    bed.write("Dockerfile", "FROM base\nRUN --mount=type=ssh,required true\n");
    let failed = bed.build(&[]).exits_with(1);
    for part in ["no SSH key \"default\" forwarded", ">>> RUN", "hint: give it with --ssh default"]
    {
        assert!(failed.stderr.contains(part), "no `{part}` in: {}", failed.stderr);
    }
    let unset = bed.build(&["--ssh", "default"]).exits_with(1);
    assert!(unset.stderr.contains("SSH_AUTH_SOCK is not set"), "{}", unset.stderr);
    let key = bed.join("out/key");
    fs::write(&key, "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    let flag = format!("default={}", key.display());
    let no_agent = bed.build(&["--ssh", &flag]).exits_with(1);
    assert!(no_agent.stderr.contains("ssh-add KEY"), "{}", no_agent.stderr);
    // A socket behind which nobody is.
    let dead = bed.join("out/dead");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    bed.own(&bed.join("out"));
    let flag = format!("default={}", dead.display());
    let refused = bed.build(&["--ssh", &flag]).exits_with(1);
    assert!(refused.stderr.contains("connect to the ssh agent"), "{}", refused.stderr);
}
