//! The live view in a real terminal: what tmux has on its screen.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use dfbuild_testkit::{Bed, Skipped, Who, eventually, noise, program, run_or_skip};

/// Two stages that speak and then wait for their gates, a long instruction, and one that needs both.
const DOCKERFILE: &str = r#"FROM base AS one
RUN --mount=type=cache,id=one,target=/gate for i in 1 2 3 4 5 6 7 8 9; do echo "one says $i"; done; printf '10%%\r20%%\r'; chmod 777 /gate; touch /gate/one; until [ -e /gate/open ]; do sleep 0.05; done; rm /gate/open /gate/one
FROM base AS two-with-a-name-that-is-longer-than-most
RUN --mount=type=cache,id=two,target=/gate printf "\033[31mtwo\033[0m says a line that is so long that it does not fit on a screen of eighty columns at all\n"; chmod 777 /gate; touch /gate/two; until [ -e /gate/open ]; do sleep 0.05; done; rm /gate/open /gate/two
FROM base
COPY --from=one /bin/sh /one
COPY --from=two-with-a-name-that-is-longer-than-most /bin/sh /two
RUN echo the end of a build is an instruction that is longer than eighty columns, so that it has to be cut
"#;

/// A terminal of its own, which ends with the test.
struct Screen {
    tmux: PathBuf,
    socket: PathBuf,
}

impl Screen {
    fn start(bed: &Bed, columns: u16, lines: u16, script: &str) -> Result<Self, Skipped> {
        let screen = Self { tmux: program("tmux")?, socket: bed.join(format!("tmux-{columns}")) };
        let (x, y) = (columns.to_string(), lines.to_string());
        let folder = bed.context();
        let args = ["-f", "/dev/null", "new-session", "-d", "-x", &x, "-y", &y];
        let started = screen.command(bed).args(args).arg("-c").arg(folder).arg(script).status();
        assert!(started.unwrap().success());
        Ok(screen)
    }

    fn command(&self, bed: &Bed) -> Command {
        let mut command = bed.command_of(&self.tmux);
        command.arg("-u").arg("-S").arg(&self.socket);
        command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
        command
    }

    /// The lines that are on the screen and above it.
    fn lines(&self, bed: &Bed) -> Vec<String> {
        let args = ["capture-pane", "-p", "-S", "-200"];
        let output = self.command(bed).args(args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// The same, once a condition holds.
    fn when(&self, bed: &Bed, what: &str, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut last = Vec::new();
        eventually(what, || {
            last = self.lines(bed);
            holds(&last)
        });
        last
    }
}

/// Ends the server of this socket alone.
impl Drop for Screen {
    #[expect(clippy::print_stderr, reason = "it is what whoever reads the failure wants to see")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut shown = Command::new(&self.tmux);
            let shown = shown
                .arg("-S")
                .arg(&self.socket)
                .args(["capture-pane", "-p", "-S", "-200"])
                .output();
            eprintln!("on the screen: {shown:?}");
        }
        let _ = Command::new(&self.tmux).arg("-S").arg(&self.socket).arg("kill-server").status();
    }
}

/// Lets the step of a stage go on, whose cache mount holds a file of this name.
fn open_gate(bed: &Bed, name: &str) {
    let mut gate = None;
    eventually("the step waits", || {
        gate = find(&bed.store(), name);
        gate.is_some()
    });
    fs::write(gate.unwrap().with_file_name("open"), "").unwrap();
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    // Folders come and go while a build runs.
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && let Some(found) = find(&path, name) {
            return Some(found);
        }
        let is_gate = entry.file_name() == name && path.metadata().is_ok_and(|it| it.len() == 0);
        if is_gate && !is_folder {
            return Some(path);
        }
    }
    None
}

fn has(lines: &[String], part: &str) -> bool {
    lines.iter().any(|line| line.contains(part))
}

/// Whether the view is there from its first line to its last. A terminal may have read a part of it.
fn is_whole(lines: &[String]) -> bool {
    has(lines, "building ") && lines.iter().any(|line| line.ends_with("  waiting"))
}

fn watch(bed: &Bed, columns: u16, lines: u16) -> Result<(), Skipped> {
    let program = bed.program().display().to_string();
    let script = format!("{program} --no-cache -j 4 -t app . ; echo ended: $?; read line");
    let screen = Screen::start(bed, columns, lines, &script)?;
    let width = usize::from(columns);

    let both = screen.when(bed, "both stages run side by side", |lines| {
        has(lines, "    | one says 9")
            && has(lines, "    | 20%")
            && has(lines, "    | two says a line")
            && is_whole(lines)
    });
    assert!(both[0].starts_with("building ") && both[0].ends_with(" steps, 0 cached"), "{both:?}");
    // One that is wrapped fills a line of the screen.
    assert!(both.iter().all(|line| line.chars().count() < width), "{both:?}");
    assert!(has(&both, "two-with-a-name-that-is…"), "{both:?}");
    assert!(has(&both, "0/3  waiting"), "{both:?}");

    open_gate(bed, "one");
    screen.when(bed, "a stage is folded, and the other one goes on", |lines| {
        has(lines, "s  [one 2/2] RUN")
            && !has(lines, "    | one says")
            && has(lines, "    | two says a line")
            && is_whole(lines)
    });

    open_gate(bed, "two");
    let end = screen.when(bed, "the build is done", |lines| has(lines, "ended: 0"));
    let shown: Vec<&String> = end.iter().filter(|line| !line.is_empty()).collect();
    let steps = shown.iter().filter(|line| line.contains("s  [")).count();
    // Five steps, the export, four lines of summary, and what the shell says.
    assert_eq!((steps, shown.len()), (5, 11), "{end:?}");
    assert!(!has(&end, "    | ") && !has(&end, "building "), "{end:?}");
    assert!(has(&end, "0 steps cached, 5 ran"), "{end:?}");
    assert!(end.iter().all(|line| line.chars().count() < width), "{end:?}");
    Ok(())
}

/// Exports to a pipe, whose reader has the build wait in the middle.
fn watch_an_export(bed: &Bed) -> Result<(), Skipped> {
    let pipe = bed.join("pipe");
    assert!(Command::new(program("mkfifo")?).arg(&pipe).status().unwrap().success());
    let program = bed.program().display().to_string();
    let out = format!("type=oci,dest={}", pipe.display());
    let script = format!("{program} --no-cache -o {out} . ; echo ended: $?; read line");
    let screen = Screen::start(bed, 80, 24, &script)?;
    let mut reader = fs::File::open(&pipe).unwrap();
    let mut half = vec![0; 3 << 20];
    reader.read_exact(&mut half).unwrap();
    let bar = |line: &String| line.starts_with("  [###") && line.ends_with(" left");
    let shown = screen.when(bed, "a bar with rate and time left, below its name", |lines| {
        lines.windows(2).any(|it| it[0].starts_with("exporting oci archive ") && bar(&it[1]))
    });
    let at = shown.iter().position(bar).unwrap();
    assert!(shown[at].contains("B / 6.29MB  ") && shown[at].contains("B/s  "), "{shown:?}");
    io::copy(&mut reader, &mut io::sink()).unwrap();
    let end = screen.when(bed, "the build is done", |lines| has(lines, "ended: 0"));
    assert!(!end.iter().any(bar), "{end:?}");
    Ok(())
}

#[test]
fn the_live_view_of_an_export() {
    run_or_skip("e2e_terminal::the_live_view_of_an_export", || {
        let bed = Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)?;
        bed.write("Dockerfile", "FROM scratch\nCOPY noise /\n");
        bed.write("noise", noise(6 << 20));
        watch_an_export(&bed)
    });
}

#[test]
fn the_live_view() {
    run_or_skip("e2e_terminal::the_live_view", || {
        let bed = Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)?;
        bed.base();
        bed.write("Dockerfile", DOCKERFILE);
        watch(&bed, 80, 24)?;
        watch(&bed, 200, 50)
    });
}
