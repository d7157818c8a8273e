//! Every command of the book, run as it stands there.
//!
//! A block with `path=NAME` is a file of the reader's folder. Of a `console` block each line that begins with `$ ` is
//! run by a shell, and the lines below it have to be in what it prints. The last command of a block `console
//! fails` fails, all others succeed.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use dfbuild_testkit::{
    Bed, DebianRegistry, Outcome, RegistrySetup, Skipped, Who, files_below, run_or_skip,
};

const BOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/book/src");

/// Images that readers pull, and that are small ones here.
const STAND_INS: [&str; 3] = ["debian:12", "python:3.12-slim", "postgres:16"];

/// The registry of the book.
const REGISTRY: &str = "localhost:5000";

/// Stores of other machines, beside the reader's folder.
const OTHER_STORES: [&str; 2] = ["elsewhere", "third"];

#[derive(Debug)]
enum Block {
    File { path: String, text: String },
    Console { lines: Vec<String>, fails: bool },
}

impl Block {
    fn commands(&self) -> Vec<(String, Vec<String>)> {
        match self {
            Self::File { .. } => Vec::new(),
            Self::Console { lines, .. } => commands(lines),
        }
    }
}

#[test]
fn every_command_of_the_book() {
    let mut count = 0;
    for chapter in files_below(Path::new(BOOK), "md") {
        let name = chapter.strip_prefix(BOOK).unwrap().display().to_string();
        let blocks = blocks(&name, &fs::read_to_string(&chapter).unwrap());
        count += blocks.iter().map(|block| block.commands().len()).sum::<usize>();
        run_or_skip(&format!("every_command_of_the_book: {name}"), || try_chapter(&name, &blocks));
    }
    assert!(count > 60, "there are {count} commands in the book");
}

/// What is shown and not typed.
const SHOWN: [&str; 4] = ["text", "yaml", "sh", "rust,ignore"];

/// The blocks of a chapter that the reader does something with. All are looked at: one that is not known here would
/// be one that nobody tries.
fn blocks(name: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            let marks = line.trim_start_matches([' ', '>', '-', '*']);
            let is_block = marks.starts_with("```") || marks.starts_with("~~~");
            assert!(
                !is_block && !line.starts_with("    "),
                "{name}: a block that is not tried: {line}"
            );
            continue;
        };
        let body: Vec<String> =
            lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect();
        let at = format!("{name}: the block `{info}` of {body:#?}");
        match info.split_whitespace().collect::<Vec<_>>()[..] {
            [_, path] if path.starts_with("path=") => {
                let path = path["path=".len()..].to_owned();
                blocks.push(Block::File { path, text: body.join("\n") + "\n" });
            }
            ["console"] | ["console", "fails"] => {
                assert!(body.first().is_some_and(|line| line.starts_with("$ ")), "{at}");
                blocks.push(Block::Console { lines: body, fails: info.ends_with("fails") });
            }
            [language] if SHOWN.contains(&language) => {
                assert!(!body.iter().any(|line| line.starts_with("$ ")), "{at} has commands");
            }
            _ => panic!("{at} is of no kind that is known"),
        }
    }
    blocks
}

/// Does what a chapter says.
fn try_chapter(name: &str, blocks: &[Block]) -> Result<(), Skipped> {
    if blocks.iter().all(|block| block.commands().is_empty()) {
        return Ok(());
    }
    let bed = Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)?;
    stand_ins(&bed);
    let mentions = |word: &str| {
        blocks.iter().any(|block| {
            matches!(block, Block::Console { lines, .. }
                if lines.iter().any(|line| line.contains(word)))
        })
    };
    // Other machines have pulled the same images.
    for store in OTHER_STORES.into_iter().filter(|store| mentions(store)) {
        let copied = Command::new("cp").arg("-a").arg(bed.store()).arg(bed.join(store)).status();
        assert!(copied.unwrap().success());
    }
    let needs_registry = mentions(REGISTRY);
    let registry =
        needs_registry.then(|| DebianRegistry::start(RegistrySetup::default())).transpose()?;
    for block in blocks {
        match block {
            Block::File { path, text } => bed.write(path, text),
            Block::Console { lines, fails } => {
                let commands = commands(lines);
                for (at, (command, shown)) in commands.iter().enumerate() {
                    let command = match &registry {
                        Some(registry) => command.replace(REGISTRY, registry.address()),
                        None => command.clone(),
                    };
                    let code = i32::from(*fails && at + 1 == commands.len());
                    let ended = run(&bed, &command);
                    let all = format!("{}{}", ended.stdout, ended.stderr);
                    assert_eq!(ended.code, Some(code), "{name}: $ {command}\n{all}");
                    for line in shown {
                        assert!(
                            all.contains(line.trim()),
                            "{name}: $ {command}\nno `{line}` in\n{all}"
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

/// The commands of a block, each with what is shown of its output.
fn commands(lines: &[String]) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in lines {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, Some((_, shown))) if !line.is_empty() => shown.push(line.clone()),
            _ => {}
        }
    }
    commands
}

fn run(bed: &Bed, command: &str) -> Outcome {
    let mut shell = Command::new("sh");
    let prototype = bed.command();
    let folder = Path::new(env!("CARGO_BIN_EXE_dfbuild")).parent().unwrap();
    shell.arg("-c").arg(command).current_dir(bed.context()).env_clear();
    shell.envs(prototype.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display()));
    shell.output().unwrap().into()
}

/// Puts small images in the places of those that the book begins with.
fn stand_ins(bed: &Bed) {
    bed.base();
    let folder = bed.join("stand-in");
    fs::create_dir_all(folder.join("bin")).unwrap();
    for program in ["apt-get", "pip"] {
        let path = folder.join("bin").join(program);
        fs::write(&path, "#!/bin/sh\necho \"$0 $*\" >> /installed\n").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    fs::write(folder.join("Dockerfile"), "FROM base\nCOPY bin /usr/bin\n").unwrap();
    let mut args = vec!["build", "--progress=plain"];
    for name in STAND_INS {
        args.extend(["-t", name]);
    }
    args.push(folder.to_str().unwrap());
    let _ = bed.run(&args).succeeds();
}
