//! Commands that run in copies of their root file systems, where there are no overlays.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use dfbuild_testkit::{Bed, Outcome, Skipped, Who, as_each_user, program, run_or_skip};

as_each_user!(
    what_one_made_the_other_takes,
    steps_go_on_where_the_last_one_ended,
    stages_do_not_see_each_other,
    links_lead_nowhere,
);

/// Builds with this way to run commands.
fn build_with(bed: &Bed, snapshotter: &str, args: &[&str]) -> Outcome {
    let mut command = bed.build_command(args);
    command.env("DFBUILD_SNAPSHOTTER", snapshotter);
    Outcome::from(command.output().unwrap()).succeeds()
}

fn what_one_made_the_other_takes(bed: &Bed) {
    bed.base();
    let before = "FROM base AS first\nRUN mkdir /d && echo 1 > /d/gone && echo 2 > /d/kept\n\
        RUN rm /d/gone && rm -r /var && mkdir /var && echo x > /var/x\n";
    let last = "FROM first\nRUN ls /d /var > /seen\n";
    for (made, taken) in [("copy", "overlay"), ("overlay", "copy")] {
        let bed = bed.another();
        bed.base();
        bed.write("Dockerfile", before);
        let first = build_with(&bed, made, &["-t", "first"]);
        assert_eq!(first.stderr.contains("notice: overlays are switched off"), made == "copy");
        bed.write("Dockerfile", format!("{before}{last}"));
        let tree = bed.join("out/tree");
        let output = format!("type=local,dest={}", tree.display());
        let second = build_with(&bed, taken, &["-o", &output]);
        assert_eq!(second.ran_steps(), ["RUN ls /d /var > /seen"], "{}", second.stderr);
        let seen = fs::read_to_string(tree.join("seen")).unwrap();
        assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["/d:", "kept", "/var:", "x"]);
        let back = build_with(&bed, made, &[]);
        assert_eq!(back.ran(), 0, "{}", back.stderr);
    }
}

fn steps_go_on_where_the_last_one_ended(bed: &Bed) {
    bed.base();
    bed.write("one", "one\n");
    bed.write(
        "Dockerfile",
        "FROM base\nRUN mkdir /d && echo a > /d/a && echo b > /d/b\nCOPY one /d/a\n\
         RUN cat /d/a && rm /d/b && echo more >> /d/a\nWORKDIR /d\nRUN rm -r /d/* && touch x\n\
         COPY one /d/\nRUN ls /d && rm -r /d && cat /etc/passwd > /d\nWORKDIR /\nRUN test -f /d\n",
    );
    let built = build_with(bed, "copy", &[]);
    for part in ["one\n", "x\n"] {
        assert!(built.stderr.contains(part), "no {part} in {}", built.stderr);
    }
    let staged = fs::read_dir(bed.store().join("staging")).unwrap().count();
    assert_eq!(staged, 0);
}

/// Each goes on from the same layers, at the same time, in a tree of its own.
fn stages_do_not_see_each_other(bed: &Bed) {
    bed.base();
    let mut dockerfile = "FROM base AS first\nRUN echo first > /who\n".to_owned();
    for name in ["a", "b", "c"] {
        dockerfile += &format!(
            "FROM first AS {name}\nRUN --mount=type=cache,target=/shared touch /shared/{name}; \
             test \"$(cat /who)\" = first && echo {name} > /who; i=0; \
             while [ $i -lt 600 ] && [ \"$(ls /shared | wc -l)\" -lt 3 ]; do i=$((i+1)); sleep 0.1; done; \
             test \"$(cat /who)\" = {name}\n"
        );
    }
    dockerfile += "FROM first\nCOPY --from=a /who /a\nCOPY --from=b /who /b\nCOPY --from=c /who /c\n\
        RUN test \"$(cat /a /b /c /who | tr -d '\\n')\" = abcfirst\n";
    bed.write("Dockerfile", dockerfile);
    let _ = build_with(bed, "copy", &[]);
}

/// A command leaves links where something of the next one is mounted, and of its own.
fn links_lead_nowhere(bed: &Bed) {
    bed.base();
    let outside = bed.join("out/outside");
    fs::create_dir_all(outside.join("secrets")).unwrap();
    fs::write(outside.join("secrets/s"), "precious").unwrap();
    bed.own(&bed.join("out"));
    bed.write("secret", "hidden");
    let secret = format!("id=s,src={}", bed.context().join("secret").display());
    let path = outside.display();
    bed.write(
        "Dockerfile",
        format!(
            "FROM base\nRUN --mount=type=secret,id=s,target=/place/secrets/s \
             mv /place /elsewhere && ln -s {path} /place\n\
             RUN ln -s {path} /more && rm -f /etc/hosts; ln -s {path}/hosts /etc/hosts\nRUN true\n"
        ),
    );
    let mut command = bed.build_command(&["--secret", &secret]);
    command.env("DFBUILD_SNAPSHOTTER", "copy");
    let outcome = Outcome::from(command.output().unwrap());
    // Whether the directory can be moved is the kernel's to say.
    assert!(matches!(outcome.code, Some(0 | 1)), "{}", outcome.stderr);
    assert_eq!(fs::read_to_string(outside.join("secrets/s")).unwrap(), "precious");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

/// Nothing is told to the command: it finds out.
#[test]
fn a_store_that_lies_on_an_overlay() {
    run_or_skip("a_store_that_lies_on_an_overlay", || {
        if !rustix::process::geteuid().is_root() {
            return Err(Skipped::because("mounting takes root"));
        }
        program("unshare")?;
        let bed = Bed::new(std::path::Path::new(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)?;
        bed.base();
        bed.write("Dockerfile", "FROM base\nRUN rm -r /var && mkdir /var && echo x > /var/x\n");
        let build = bed.build_command(&["-t", "app"]);
        for name in ["upper", "work"] {
            fs::create_dir(bed.join(name)).unwrap();
        }
        let store = bed.store();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            store.display(),
            bed.join("upper").display(),
            bed.join("work").display()
        );
        let script = "mount -t overlay overlay -o \"$1\" \"$2\" && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh", &options]).arg(&store);
        command.arg(build.get_program()).args(build.get_args()).env_clear();
        let variables = build.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.envs(variables.map(|(name, value)| (OsString::from(name), OsString::from(value))));
        let outcome = Outcome::from(command.output().unwrap()).succeeds();
        assert!(
            outcome.stderr.contains("notice: there are no overlays here ("),
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.ran(), 1);

        // The same command over an overlay makes the same layer.
        let again = bed.another();
        again.base();
        again.write("Dockerfile", "FROM base\nRUN true\n");
        assert!(!build_with(&again, "auto", &[]).stderr.contains("notice:"));
        Ok(())
    });
}
