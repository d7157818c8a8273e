//! The page of the book that lists all commands, made from the grammar.

use clap::CommandFactory;

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
