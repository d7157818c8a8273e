//! `dfbuild --help`, with the commands grouped as people think of them.

use clap::Command;

/// Each group, and its commands in their order.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Build", &["build", "compose", "explain", "logs", "shell", "verify"]),
    (
        "Images",
        &[
            "images", "inspect", "history", "layers", "diff", "run", "cp", "tag", "rm", "pull",
            "push", "save", "load",
        ],
    ),
    ("Cache and store", &["du", "prune", "fsck"]),
    ("Dockerfile", &["check", "fmt", "parse", "expand", "ignore"]),
    ("This machine", &["doctor", "completions", "man"]),
];

/// The grammar with this help.
pub(super) fn grouped(command: Command) -> Command {
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{{options}}{{after-help}}\n",
        groups(&command)
    );
    command.help_template(template)
}

fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        text.push_str(&format!("{heading}:\n"));
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("  {name:<12} {about}\n"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn every_command_is_in_one_group() {
        let command = Cli::command();
        let mut expect: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        let mut grouped: Vec<&str> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        expect.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, expect);
    }

    #[test]
    fn the_help_fits_a_screen() {
        let help = grouped(Cli::command()).term_width(80).render_help().to_string();
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        assert!(help.lines().count() <= 56, "{help}");
        assert!(help.contains("\nImages:\n  images       List images\n"), "{help}");
    }
}
