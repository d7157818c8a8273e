//! A rough reading of shell text: which programs run with which words. Good enough for advice, not for more.

use crate::ast::{Command, Run};

/// One simple command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// The program without its folder.
    pub(super) program: String,
    /// The words behind it, without quotes.
    pub(super) words: Vec<String>,
}

impl Call {
    /// Whether this runs `program` with `word` as the first word that is no option.
    pub(super) fn is(&self, program: &str, word: &str) -> bool {
        self.program == program && self.operands().next() == Some(word)
    }

    /// The words that are no options.
    pub(super) fn operands(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str).filter(|word| !word.starts_with('-'))
    }

    /// Whether an option is given, alone or, if it is one letter, among others.
    pub(super) fn has_option(&self, names: &[&str]) -> bool {
        self.words.iter().any(|word| {
            names.iter().any(|name| {
                let letter = name.strip_prefix('-').filter(|it| it.len() == 1);
                let among = |letter: &str| {
                    word.starts_with('-') && !word.starts_with("--") && word.contains(letter)
                };
                word == name
                    || word.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))
                    || letter.is_some_and(among)
            })
        })
    }
}

/// The commands of a `RUN`, those in its heredocs too.
pub(super) fn calls(run: &Run) -> Vec<Call> {
    let mut calls = match &run.command {
        Command::Shell(text) => read(&text.value.text()),
        Command::Exec(words) => match words.as_slice() {
            // `["sh", "-c", "text"]`.
            [shell, options, text]
                if shell.value.ends_with("sh") && options.value.contains('c') =>
            {
                read(&text.value)
            }
            words => {
                call(words.iter().map(|it| it.value.to_string()).collect()).into_iter().collect()
            }
        },
    };
    for heredoc in &run.heredocs {
        let text = heredoc.text();
        // A script for another program than a shell.
        let other = text
            .strip_prefix("#!")
            .is_some_and(|it| !it.lines().next().unwrap_or_default().trim_end().ends_with("sh"));
        if !other {
            calls.extend(read(&text));
        }
    }
    calls
}

fn read(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    let mut quote = None;
    while let Some(found) = chars.next() {
        match (quote, found) {
            (Some(open), found) if open == found => quote = None,
            (None, '\'' | '"') => {
                quote = Some(found);
                word.get_or_insert_default();
            }
            (Some('"') | None, '\\') => {
                let escaped = chars.next();
                if escaped != Some('\n') {
                    word.get_or_insert_default().extend(escaped);
                }
            }
            (None, '#') if word.is_none() => while chars.next_if(|it| *it != '\n').is_some() {},
            (None, '\n' | ';' | '&' | '|' | '(' | ')' | '{' | '}')
                if !in_variable(word.as_deref(), found) =>
            {
                words.extend(word.take());
                calls.extend(call(std::mem::take(&mut words)));
            }
            (None, found) if found.is_whitespace() => words.extend(word.take()),
            (_, found) => word.get_or_insert_default().push(found),
        }
    }
    words.extend(word);
    calls.extend(call(words));
    calls
}

/// Whether a brace belongs to `${name}`.
fn in_variable(word: Option<&str>, found: char) -> bool {
    let Some(word) = word else { return false };
    match found {
        '{' => word.ends_with('$'),
        '}' => word.rfind("${").is_some_and(|at| !word[at..].contains('}')),
        _ => false,
    }
}

/// Words of the shell, and programs that run others, before the program that matters.
const IN_FRONT: [&str; 14] = [
    "if",
    "then",
    "else",
    "elif",
    "while",
    "until",
    "do",
    "!",
    "sudo",
    "exec",
    "time",
    "env",
    "command",
    "eatmydata",
];

fn call(words: Vec<String>) -> Option<Call> {
    let mut words = words.into_iter().skip_while(|word| {
        let assignment = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
        });
        assignment || IN_FRONT.contains(&word.as_str())
    });
    let program = words.next()?;
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let words: Vec<String> = words.collect();
    // `python -m pip`.
    if program.starts_with("python") && words.first().is_some_and(|it| it == "-m") {
        return call(words[1..].to_vec());
    }
    Some(Call { program, words })
}

#[cfg(test)]
mod tests {
    use super::read;

    fn check(text: &str, expect: &[(&str, &[&str])]) {
        let calls = read(text);
        let calls: Vec<_> = calls
            .iter()
            .map(|it| {
                (it.program.as_str(), it.words.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        let expect: Vec<_> =
            expect.iter().map(|(program, words)| (*program, words.to_vec())).collect();
        assert_eq!(calls, expect, "{text}");
    }

    #[test]
    fn programs_and_words() {
        check(
            "set -e; A=1 sudo /usr/bin/apt-get update && (apt-get -y install 'a b' \"c\"d | tee x)",
            &[
                ("set", &["-e"]),
                ("apt-get", &["update"]),
                ("apt-get", &["-y", "install", "a b", "cd"]),
                ("tee", &["x"]),
            ],
        );
        check("python3 -m pip install x # no", &[("pip", &["install", "x"])]);
        check("echo ${A}/{b,c} \"a;b\"", &[("echo", &["${A}/"]), ("b,c", &[]), ("a;b", &[])]);
        check("if ! x; then y; fi\nz", &[("x", &[]), ("y", &[]), ("fi", &[]), ("z", &[])]);
        check("", &[]);
    }
}
