//! What the documentation says of the command line: the page of the book that lists all commands is made
//! from the grammar, and what stands elsewhere is understood by it.

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory;
use clap::error::ErrorKind;
use dfbuild_testkit::files_below;

use super::Cli;

const PAGE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/book/src/reference/commands.md");

/// Set to write the page instead of comparing it.
const UPDATE: &str = "DFBUILD_UPDATE_BOOK";

fn page() -> String {
    let mut command = Cli::command().disable_help_flag(true).max_term_width(100).term_width(100);
    command.build();
    let mut page = String::from(
        "# Commands\n\nWhat `--help` says. `dfbuild -t app .` is short for `dfbuild build -t app .`.\n",
    );
    for command in command.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        let help = command.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        let (name, help) = (command.get_name(), help.join("\n"));
        page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.trim_end()));
    }
    page
}

#[test]
fn the_book_lists_all_commands() {
    let page = page();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "{PAGE} is old: run this test with {UPDATE}=1");
}

/// The command lines of a text: between backticks, and as lines of blocks.
fn lines(text: &str) -> Vec<String> {
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let mut fenced = false;
    let in_blocks = text.lines().filter_map(|line| {
        fenced ^= line.starts_with("```");
        let begins = ["$ ", "- run: ", "- "];
        let code = Some(line.trim_start()).filter(|_| fenced || line.starts_with("    "))?;
        Some(begins.into_iter().find_map(|begin| code.strip_prefix(begin)).unwrap_or(code))
    });
    // What stands behind several spaces or a `#` tells of the command, and what follows another sign is the shell's.
    let ends = ["  ", " #", " | ", " && ", " > ", "; ", " \\"];
    let lines = spans.chain(in_blocks).filter(|line| line.starts_with("dfbuild "));
    let cut = lines.map(|line| {
        let end = ends.into_iter().filter_map(|end| line.find(end)).min();
        line[..end.unwrap_or(line.len())].trim_end().to_owned()
    });
    cut.collect()
}

/// A line with values in the places of its variables.
fn expanded(line: &str) -> String {
    let mut parts = line.split('$');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| {
        let rest = part.trim_start_matches(|it: char| it.is_ascii_uppercase() || it == '_');
        line + if part.starts_with("PWD") { "/folder" } else { "value" } + rest
    })
}

/// The words of a line as a shell reads them.
fn words(line: &str) -> Vec<OsString> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in expanded(line).chars() {
        match letter {
            '"' | '\'' if quote.is_none() => quote = Some(letter),
            _ if quote == Some(letter) => quote = None,
            ' ' if quote.is_none() => words.push(std::mem::take(&mut word).into()),
            _ => word.push(letter),
        }
    }
    words.push(word.into());
    words
}

#[test]
fn what_the_documentation_types_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut count, mut wrong) = (0, Vec::new());
    for file in files_below(&root.join("docs"), "md").into_iter().chain([root.join("README.md")]) {
        for line in lines(&std::fs::read_to_string(&file).unwrap()) {
            count += 1;
            let error = match Cli::read(words(&line)) {
                Ok(cli) => cli.unless_context,
                Err(error) => Some(error),
            };
            // A sentence about a flag leaves away what does not matter to it.
            let in_part = [ErrorKind::MissingRequiredArgument, ErrorKind::DisplayHelp];
            if let Some(error) = error.filter(|error| !in_part.contains(&error.kind())) {
                wrong.push(format!("{}: {line}: {error}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "{count} command lines were found");
}
