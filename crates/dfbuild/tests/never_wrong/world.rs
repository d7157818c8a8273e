use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::random::Random;

/// What is built: a Dockerfile and what it can copy from.
#[derive(Debug, Clone)]
pub(crate) struct World {
    stages: Vec<Stage>,
    /// The files of the context and of a named context.
    context: Files,
    named: Files,
    pub(crate) ignore: String,
    pub(crate) args: BTreeMap<String, String>,
    /// How it was before, for edits that go back.
    before: Option<Box<World>>,
}

#[derive(Debug, Clone)]
struct Stage {
    from: String,
    instructions: Vec<String>,
}

pub(crate) type Files = BTreeMap<String, Node>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    File { content: String, mode: u32, mtime: i64 },
    Folder { mode: u32 },
    Link(String),
}

const NAMES: [&str; 6] = ["f", "g.txt", "a/x", "a/y.log", "a/d/z", "b/x"];
const FOLDERS: [&str; 3] = ["a", "a/d", "b"];
const WORDS: [&str; 4] = ["one", "two", "three", "four"];
const MODES: [u32; 4] = [0o644, 0o755, 0o600, 0o4755];

impl World {
    /// A world of a seed. Not every one can be built; `attempt` is another.
    pub(crate) fn new(seed: usize, attempt: usize) -> Self {
        let mut random = Random::new(seed, 1000 * attempt);
        let mut world = Self {
            stages: Vec::new(),
            context: files(&mut random),
            named: files(&mut random),
            ignore: String::new(),
            args: BTreeMap::new(),
            before: None,
        };
        for number in 0..=random.below(3) {
            let from = match number {
                0 => "base".to_owned(),
                _ if random.chance(40) => format!("s{}", random.below(number)),
                _ => "base".to_owned(),
            };
            let mut stage = Stage { from, instructions: Vec::new() };
            for _ in 0..2 + random.below(5) {
                stage.instructions.push(instruction(&mut random, number));
            }
            world.stages.push(stage);
        }
        world
    }

    pub(crate) fn dockerfile(&self) -> String {
        let mut text = String::new();
        for (number, stage) in self.stages.iter().enumerate() {
            text.push_str(&format!("FROM {} AS s{number}\n", stage.from));
            for instruction in &stage.instructions {
                text.push_str(instruction);
                text.push('\n');
            }
        }
        text
    }

    /// Takes the last edit back.
    pub(crate) fn undo(&mut self) {
        if let Some(before) = self.before.take() {
            *self = *before;
        }
    }

    /// Changes something, and says what.
    pub(crate) fn edit(&mut self, seed: usize, number: usize) -> String {
        let mut random = Random::new(seed, number);
        let kind = random.below(12);
        if kind == 0
            && let Some(before) = self.before.take()
        {
            *self = *before;
            return "back to how it was".to_owned();
        }
        self.before = Some(Box::new(Self { before: None, ..self.clone() }));
        match kind {
            1..=3 => self.edit_dockerfile(&mut random),
            4 => {
                let (name, value) = (*random.of(&["A", "B"]), *random.of(&WORDS));
                self.args.insert(name.to_owned(), value.to_owned());
                format!("--build-arg {name}={value}")
            }
            5 => {
                self.ignore = (*random.of(&["", "*.log\n", "a/*\n!a/x\n", "b\n"])).to_owned();
                format!(".dockerignore {:?}", self.ignore)
            }
            6 | 7 => format!("named: {}", edit_files(&mut self.named, &mut random)),
            _ => edit_files(&mut self.context, &mut random),
        }
    }

    fn edit_dockerfile(&mut self, random: &mut Random) -> String {
        let number = random.below(self.stages.len());
        let stage = &mut self.stages[number];
        let at = random.below(stage.instructions.len() + 1);
        match random.below(4) {
            0 if stage.instructions.len() > 1 => {
                let at = at.min(stage.instructions.len() - 1);
                format!("s{number}: without {:?}", stage.instructions.remove(at))
            }
            1 if stage.instructions.len() > 1 => {
                let at = at.clamp(1, stage.instructions.len() - 1);
                stage.instructions.swap(at - 1, at);
                format!("s{number}: {at} and the one before change places")
            }
            2 if at < stage.instructions.len() => {
                stage.instructions[at] = instruction(random, number);
                format!("s{number}: {at} is {:?}", stage.instructions[at])
            }
            _ => {
                stage.instructions.insert(at, instruction(random, number));
                format!("s{number}: {at} is new: {:?}", stage.instructions[at])
            }
        }
    }

    /// Writes the contexts to folders, anew.
    pub(crate) fn write(&self, context: &Path, named: &Path) {
        write(&self.context, context);
        write(&self.named, named);
        if !self.ignore.is_empty() {
            fs::write(context.join(".dockerignore"), &self.ignore).unwrap();
        }
    }
}

fn files(random: &mut Random) -> Files {
    let mut files = Files::new();
    for folder in FOLDERS {
        files.insert(folder.to_owned(), Node::Folder { mode: 0o755 });
    }
    for name in NAMES {
        files.insert(name.to_owned(), file(random));
    }
    files
}

fn file(random: &mut Random) -> Node {
    let content = format!("{}\n", random.of(&WORDS));
    Node::File { content, mode: *random.of(&MODES), mtime: 1_600_000_000 }
}

/// Changes one thing of a tree.
fn edit_files(files: &mut Files, random: &mut Random) -> String {
    let name = (*random.of(&NAMES)).to_owned();
    match (random.below(8), files.get_mut(&name)) {
        (0, Some(_)) => {
            files.remove(&name);
            format!("no {name}")
        }
        (1, Some(Node::File { mtime, .. })) => {
            *mtime += 1 + i64::try_from(random.below(1000)).unwrap();
            format!("time of {name}")
        }
        (2, Some(Node::File { mode, .. })) => {
            *mode = *random.of(&MODES);
            format!("mode of {name}: {mode:o}")
        }
        (3, _) => {
            let target = (*random.of(&["f", "x", "../f", "nowhere", "/etc/passwd"])).to_owned();
            files.insert(name.clone(), Node::Link(target.clone()));
            format!("{name} -> {target}")
        }
        (4, _) => {
            let folder = (*random.of(&FOLDERS)).to_owned();
            let mode = *random.of(&[0o755, 0o700, 0o775]);
            files.insert(folder.clone(), Node::Folder { mode });
            format!("mode of {folder}: {mode:o}")
        }
        (5, Some(node)) => {
            let node = node.clone();
            files.remove(&name);
            files.insert(format!("{name}2"), node);
            format!("{name} is {name}2")
        }
        _ => {
            files.insert(name.clone(), file(random));
            format!("{name} is {:?}", files[&name])
        }
    }
}

/// What sees the whole tree but its times.
const LOOK: &str = "for f in $(find /c /n /w /s 2>/dev/null | sort); do \
    stat -c '%n %a %u %g %F' $f; [ -f $f ] && cat $f; done > /look; true";

fn instruction(random: &mut Random, number: usize) -> String {
    let word = *random.of(&WORDS);
    let path =
        *random.of(&["f", "a", "a/x", "a/*", "b/", "*.txt", ".", "a/d", "./a/./d", "a", "."]);
    let dest = *random.of(&["/c/", "/c/k/", "/n/", "/w/", "/s/s/"]);
    let flags = *random.of(&[
        "",
        "",
        "",
        "--chmod=640 ",
        "--chmod=u+x ",
        "--chown=1000:5 ",
        "--link ",
        "--link --chown=7 ",
        "--exclude=*.log ",
        "--exclude=**/x ",
        "--parents ",
        "--parents --exclude=a/x ",
        "--chown=ann ",
    ]);
    let from = match random.below(4) {
        0 => "--from=named ".to_owned(),
        1 if number > 0 => format!("--from=s{} ", random.below(number)),
        _ => String::new(),
    };
    // What a stage has for sure.
    let path = if from.contains("=s") { *random.of(&["/etc/passwd", "/s*", "/etc"]) } else { path };
    match random.below(16) {
        0..=4 => format!("COPY {flags}{from}{path} {dest}"),
        5 => format!("ADD {path} {dest}"),
        6 => format!("COPY <<EOF {dest}inline\n{word} $A $B\nEOF"),
        7 => format!("ARG {}={word}", random.of(&["A", "B"])),
        8 => format!("ENV {}={word}$A", random.of(&["B", "C"])),
        9 => format!("WORKDIR {}", random.of(&["/w", "w", "/s/$A"])),
        10 => format!("USER {}", random.of(&["root", "ann", "1000:5", "0"])),
        11 => format!("RUN {LOOK}"),
        12 => format!("RUN mkdir -p /s; echo {word} $A $B $C $(id -u) > /s/{word} || true"),
        13 => format!("RUN rm -rf {dest} || true"),
        14 => {
            let from = from.replace("--from", ",from").trim_end().to_owned();
            let source = if from.contains("=s") { "etc" } else { "a" };
            format!(
                "RUN --mount=type=bind,source={source},target=/m{from} cd /m; mkdir -p /s; \
                 find . -type f | sort | xargs cat > /s/m{word} || true"
            )
        }
        _ => format!(
            "RUN --mount=type=tmpfs,target=/t --mount=type=cache,target=/k,id={word} \
             echo {word} > /t/x; cat /t/x >> /s{word} || true"
        ),
    }
}

fn write(files: &Files, folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir(folder).unwrap();
    for (name, node) in files {
        let path = folder.join(name);
        // A folder may have become a link or a file.
        if fs::create_dir_all(path.parent().unwrap()).is_err() {
            continue;
        }
        match node {
            Node::Folder { .. } => drop(fs::create_dir(&path)),
            Node::Link(target) => drop(symlink(target, &path)),
            Node::File { content, mode, mtime } => {
                let Ok(file) = fs::File::create(&path) else { continue };
                std::io::Write::write_all(&mut &file, content.as_bytes()).unwrap();
                file.set_permissions(fs::Permissions::from_mode(*mode)).unwrap();
                let time = std::time::Duration::from_secs(u64::try_from(*mtime).unwrap());
                file.set_modified(std::time::UNIX_EPOCH + time).unwrap();
            }
        }
    }
    for (name, node) in files {
        let path = folder.join(name);
        if let Node::Folder { mode } = node
            && fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir())
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
}
