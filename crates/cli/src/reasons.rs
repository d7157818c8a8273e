//! Why steps are not cached, in words.

use std::time::{Duration, SystemTime};

use dfbuild::{Bust, Change, FileChange, FilesChange, PartLabel, Reason};

use crate::units;

/// Files that a line names; there may be thousands.
const MOST_FILES: usize = 10;

/// Characters of a value that a line shows.
const LONGEST_VALUE: usize = 60;

/// In the place of a value that is not kept.
const HIDDEN: &str = "***";

/// All reasons in one line.
pub(crate) fn line(reasons: &[Reason]) -> String {
    reasons.iter().map(text).collect::<Vec<_>>().join("; ")
}

/// All reasons behind an instruction, which needs the room: the most frequent one, that nothing is
/// known, is short.
pub(crate) fn short(reasons: &[Reason]) -> String {
    match reasons {
        [Reason::New] => "no earlier run".to_owned(),
        reasons => line(reasons),
    }
}

/// How old a cached result is: `2 hours old`.
pub(crate) fn age(created: SystemTime) -> String {
    // What a clock that was set back says is from the future is new.
    let age = SystemTime::now().duration_since(created).unwrap_or_default();
    old(age)
}

fn old(age: Duration) -> String {
    let words = units::human_duration(age);
    let mut chars = words.chars();
    let first = chars.next().map(|it| it.to_ascii_lowercase());
    format!("{}{} old", first.into_iter().collect::<String>(), chars.as_str())
}

/// `ARG GIT_SHA (line 4) re-ran 6 steps, 141 s; nothing before line 19 uses it`.
pub(crate) fn bust(bust: &Bust, verb: &str) -> String {
    let what = match &bust.reason {
        Reason::Variable { name, declared, .. } => {
            let keyword = declared.as_ref().map_or("variable", |place| place.keyword.as_str());
            format!("{keyword} {name}")
        }
        Reason::Base { new_name, .. } => format!("base {}", base(new_name)),
        _ => shortened(&bust.text),
    };
    let steps = if bust.steps == 1 { "1 step".to_owned() } else { format!("{} steps", bust.steps) };
    let time = Duration::from_millis(bust.milliseconds);
    let time = match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        seconds => format!("{seconds} s"),
    };
    let place = match &bust.reason {
        // The line would be that of the step.
        Reason::Variable { declared: None, new: None, .. } => " (unset now)".to_owned(),
        Reason::Variable { declared: None, .. } => String::new(),
        _ => format!(" (line {})", bust.line),
    };
    let mut text = format!("{what}{place} {verb} {steps}, {time}");
    if let Some(line) = bust.first_use {
        text.push_str(&format!("; nothing before line {line} uses it"));
    }
    text
}

fn text(reason: &Reason) -> String {
    match reason {
        Reason::NoCache => "--no-cache".to_owned(),
        Reason::NoCacheFilter => "--no-cache-filter".to_owned(),
        Reason::NoCacheStep => "--no-cache-step".to_owned(),
        Reason::TooOld { seconds } => {
            format!("its result is {} (--cache-max-age)", old(Duration::from_secs(*seconds)))
        }
        Reason::LayerLost => "the layer that it made is gone".to_owned(),
        Reason::RecordLost => "its result was removed, by prune or to keep the limit".to_owned(),
        Reason::New => "no earlier run is known".to_owned(),
        Reason::Below { line } => format!("line {line} runs before it"),
        Reason::Stage { name } => format!("stage {name} runs"),
        Reason::OtherBelow => "the files below it differ".to_owned(),
        Reason::After { old, new } => {
            let step = |text: &str| match text {
                "" => "the base".to_owned(),
                text => format!("`{}`", shortened(text)),
            };
            format!("it comes after {}, and came after {}", step(new), step(old))
        }
        Reason::Base { old_name, old, new_name, new } => {
            let digests = format!("sha256:{} → sha256:{}", old.short(), new.short());
            if old_name.is_empty() || new_name.is_empty() {
                format!("base {} → {}", base(old_name), base(new_name))
            } else if old_name == new_name {
                format!("base {new_name}: {digests}")
            } else {
                format!("base {old_name} → {new_name}: {digests}")
            }
        }
        Reason::Files { mount: None, change } => files(change),
        Reason::Files { mount: Some(target), change } => {
            format!("mount {target}: {}", files(change))
        }
        Reason::Variable { name, old, new, declared } => {
            let value = |value: &Option<String>| match value {
                None => "unset".to_owned(),
                Some(value) => quoted(value),
            };
            // Of a run elsewhere only digests of values are known.
            let then = match (old.as_deref(), new.as_deref()) {
                (Some(HIDDEN), Some(now)) if now != HIDDEN => "another value".to_owned(),
                (Some(HIDDEN), None) => "a value".to_owned(),
                _ => value(old),
            };
            let place = match declared {
                Some(place) => format!("{} {name} (line {})", place.keyword, place.line),
                None => format!("variable {name}"),
            };
            format!("{place}: {then} → {}", value(new))
        }
        Reason::Command { old, new } => texts("command", old, new),
        Reason::Shell { old, new } => texts("shell", old, new),
        Reason::Order { label } => format!("the order of {}", plural(*label)),
        Reason::Part { label, name, old, new } => part(*label, name, old.as_ref(), new.as_ref()),
        _ => "it changed".to_owned(),
    }
}

/// The name of a base; of no image, the word that the Dockerfile has for it.
fn base(name: &str) -> &str {
    if name.is_empty() { "scratch" } else { name }
}

/// What several parts are called.
fn plural(label: PartLabel) -> &'static str {
    match label {
        PartLabel::Environment | PartLabel::HiddenEnvironment => "the variables",
        PartLabel::Mount | PartLabel::SourceFiles => "the mounts",
        PartLabel::Flag => "the flags",
        PartLabel::Host => "the hosts",
        PartLabel::Source | PartLabel::Inline => "the sources",
        _ => "its parts",
    }
}

fn part(label: PartLabel, name: &str, old: Option<&String>, new: Option<&String>) -> String {
    let what = match label {
        PartLabel::WorkingDirectory => "working directory".to_owned(),
        PartLabel::User => "user".to_owned(),
        PartLabel::Platform => "platform".to_owned(),
        PartLabel::Destination => "destination".to_owned(),
        PartLabel::Source => "source".to_owned(),
        PartLabel::Mount => format!("mount {name}"),
        PartLabel::Inline => format!("heredoc {name}"),
        PartLabel::Host => format!("--add-host {name}"),
        PartLabel::Flag if name == "ids" => "user ids".to_owned(),
        PartLabel::Flag if name == "hostname" => "BUILDKIT_SANDBOX_HOSTNAME".to_owned(),
        PartLabel::Flag => format!("--{name}"),
        _ => name.to_owned(),
    };
    match (label, old, new) {
        (PartLabel::Mount | PartLabel::Inline, None, Some(_)) => format!("{what}: new"),
        (PartLabel::Mount | PartLabel::Inline, Some(_), None) => format!("{what}: gone"),
        (PartLabel::Host, None, _) | (PartLabel::Flag, None, Some(_))
            if new.is_none_or(String::is_empty) =>
        {
            format!("{what}: new")
        }
        (PartLabel::Host, _, None) | (PartLabel::Flag, Some(_), None)
            if old.is_none_or(String::is_empty) =>
        {
            format!("{what}: gone")
        }
        (PartLabel::User, old, new) => {
            let user = |user: Option<&String>| match user.map(String::as_str) {
                None | Some("") => "root".to_owned(),
                Some(user) => user.to_owned(),
            };
            format!("{what}: {} → {}", user(old), user(new))
        }
        (_, old, new) => {
            let none = "none".to_owned();
            let value =
                |value: Option<&String>| value.filter(|it| !it.is_empty()).unwrap_or(&none).clone();
            texts(&what, &value(old), &value(new))
        }
    }
}

/// How two texts differ: of long ones the first line that does.
fn texts(what: &str, old: &str, new: &str) -> String {
    if !old.contains('\n') && !new.contains('\n') {
        return format!("{what}: {} → {}", quoted(old), quoted(new));
    }
    let (mut before, mut now) = (old.lines(), new.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (before.next(), now.next()) {
            (Some(before), Some(now)) if before == now => {}
            (None, None) => return format!("{what}: its line ends"),
            (before, now) => {
                let line = |line: Option<&str>| line.map_or("nothing".to_owned(), quoted);
                return format!("{what}, line {number}: {} → {}", line(before), line(now));
            }
        }
    }
}

fn quoted(value: &str) -> String {
    match value {
        "" => "\"\"".to_owned(),
        value => shortened(value),
    }
}

/// A text that fits into a line, without what a terminal would take for a command.
fn shortened(text: &str) -> String {
    let text: String =
        text.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect();
    if text.chars().count() <= LONGEST_VALUE {
        return text;
    }
    let start: String = text.chars().take(LONGEST_VALUE - 1).collect();
    format!("{start}…")
}

fn files(change: &FilesChange) -> String {
    let FilesChange { differ, total, files, in_context } = change;
    let verb = if *differ == 1 { "differs" } else { "differ" };
    let plural = |number: u64| if number == 1 { "file" } else { "files" };
    let mut text = if *differ == 0 {
        "the same files, named in another way or order".to_owned()
    } else if differ > total {
        format!("{differ} {} {verb}", plural(*differ))
    } else {
        format!("{differ} of {total} {} {verb}", plural(*total))
    };
    let shown = files.iter().take(MOST_FILES).map(file);
    let shown: Vec<String> = shown.collect();
    if !shown.is_empty() {
        text.push_str(&format!(": {}", shown.join(", ")));
    }
    let more = differ.saturating_sub(shown.len() as u64);
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    let is_umask = || files.iter().all(|file| is_umask(&file.changes));
    if *in_context && more == 0 && !files.is_empty() && is_umask() {
        text.push_str("; see --normalise-modes");
    }
    text
}

/// Whether only the mode of a file differs, in what git does not keep.
fn is_umask(changes: &[Change]) -> bool {
    let [Change::Mode { old, new }] = changes else { return false };
    let owner_executes = |mode: &str| u32::from_str_radix(mode, 8).ok().map(|mode| mode & 0o100);
    owner_executes(old) == owner_executes(new)
}

fn file(file: &FileChange) -> String {
    let changes: Vec<String> = file.changes.iter().map(change).collect();
    let path: String =
        file.path.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect();
    format!("{path} ({})", changes.join(", "))
}

fn change(change: &Change) -> String {
    match change {
        Change::Added => "added".to_owned(),
        Change::Removed => "removed".to_owned(),
        Change::Ignored => "ignored now".to_owned(),
        Change::Renamed { old } => format!("was {old}"),
        Change::Content => "content".to_owned(),
        Change::Mode { old, new } => format!("mode {old} → {new}"),
        Change::Owner { old, new } => format!("owner {old} → {new}"),
        Change::Target { old, new } => format!("target {} → {}", quoted(old), quoted(new)),
        Change::Type { old, new } => format!("{old} → {new}"),
        Change::Commit { old, new } => {
            let short = |commit: &str| commit.chars().take(12).collect::<String>();
            format!("commit {} → {}", short(old), short(new))
        }
        Change::Capability => "capabilities".to_owned(),
        _ => "unknown how".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(label: PartLabel, name: &str, old: Option<&str>, new: Option<&str>) -> Reason {
        let text = |value: Option<&str>| value.map(ToOwned::to_owned);
        Reason::Part { label, name: name.into(), old: text(old), new: text(new) }
    }

    #[test]
    fn files_are_named() {
        let file = |path: &str, change| FileChange { path: path.into(), changes: vec![change] };
        let mode = Change::Mode { old: "0644".into(), new: "0755".into() };
        let files = vec![file("app/settings.py", Change::Content), file("run.sh", mode)];
        let change = FilesChange { differ: 2, total: 812, files, ..FilesChange::default() };
        assert_eq!(
            line(&[Reason::Files { mount: None, change }]),
            "2 of 812 files differ: app/settings.py (content), run.sh (mode 0644 → 0755)"
        );
        let files = vec![file("a", Change::Removed); 12];
        let change = FilesChange { differ: 20, total: 0, files, ..FilesChange::default() };
        let text = line(&[Reason::Files { mount: Some("/m".into()), change }]);
        assert!(text.starts_with("mount /m: 20 files differ: a (removed), "), "{text}");
        assert!(text.ends_with(" and 10 more"), "{text}");
    }

    #[test]
    fn a_base_that_is_none() {
        let name = |name: &str| name.to_owned();
        let (old, new) = (dfbuild::Digest::of("1"), dfbuild::Digest::of(""));
        let reason = Reason::Base { old_name: name("debian:12"), old, new_name: name(""), new };
        assert_eq!(line(&[reason]), "base debian:12 → scratch");
    }

    #[test]
    fn modes_that_git_does_not_keep_need_not_count() {
        let line = |modes: &[(&str, &str)], other: Option<Change>| {
            let mode =
                |(old, new): &(&str, &str)| Change::Mode { old: (*old).into(), new: (*new).into() };
            let changes = modes.iter().map(mode).chain(other).map(|change| vec![change]);
            let file = |changes| FileChange { path: "a".into(), changes };
            let files: Vec<FileChange> = changes.map(file).collect();
            let differ = files.len() as u64;
            let change = FilesChange { differ, total: 9, files, in_context: true };
            line(&[Reason::Files { mount: None, change }])
        };
        let hinted = |line: String| line.contains("--normalise-modes");
        assert_eq!(
            line(&[("0644", "0600")], None),
            "1 of 9 files differs: a (mode 0644 → 0600); see --normalise-modes"
        );
        assert!(hinted(line(&[("0644", "0664"), ("0775", "0755")], None)));
        assert!(!hinted(line(&[("0644", "0755")], None)));
        assert!(!hinted(line(&[("0644", "0600")], Some(Change::Content))));
        let changes = vec![Change::Mode { old: "0644".into(), new: "0600".into() }];
        let files = vec![FileChange { path: "a".into(), changes }];
        let of_stage = FilesChange { differ: 1, total: 9, files, in_context: false };
        assert!(!hinted(super::line(&[Reason::Files { mount: None, change: of_stage }])));
    }

    #[test]
    fn values_are_shown() {
        let command = |old: &str, new: &str| Reason::Command { old: old.into(), new: new.into() };
        let variable = |old: Option<&str>, new: Option<&str>| {
            let text = |value: Option<&str>| value.map(ToOwned::to_owned);
            Reason::Variable { name: "A".into(), old: text(old), new: text(new), declared: None }
        };
        for (reason, expect) in [
            (command("make", "make -j4"), "command: make → make -j4"),
            (command("a\nb\nc", "a\nx\nc"), "command, line 2: b → x"),
            (command("a\nb", "a"), "command, line 2: b → nothing"),
            (command("a\r\nb", "a\nb"), "command: its line ends"),
            (variable(Some("***"), Some("b")), "variable A: another value → b"),
            (variable(Some("***"), Some("***")), "variable A: *** → ***"),
            (variable(Some("***"), None), "variable A: a value → unset"),
            (part(PartLabel::User, "", Some(""), Some("ann")), "user: root → ann"),
            (part(PartLabel::Flag, "link", None, Some("")), "--link: new"),
            (part(PartLabel::Flag, "link", Some(""), None), "--link: gone"),
            (
                part(PartLabel::Flag, "network", Some("none"), Some("host")),
                "--network: none → host",
            ),
            (
                part(PartLabel::Flag, "security", None, Some("insecure")),
                "--security: none → insecure",
            ),
            (part(PartLabel::Mount, "/m", None, Some("cache, rw")), "mount /m: new"),
            (part(PartLabel::Host, "db", Some(""), None), "--add-host db: gone"),
            (Reason::TooOld { seconds: 7200 }, "its result is 2 hours old (--cache-max-age)"),
            (
                Reason::After { old: "RUN b".into(), new: String::new() },
                "it comes after the base, and came after `RUN b`",
            ),
        ] {
            assert_eq!(line(&[reason]), expect);
        }
    }

    #[test]
    fn busts_are_told() {
        let declared = dfbuild::Declared { keyword: "ARG".into(), line: 4 };
        let reason = Reason::Variable {
            name: "GIT_SHA".into(),
            old: Some("a".into()),
            new: Some("b".into()),
            declared: Some(declared),
        };
        let told = Bust {
            reason,
            text: "RUN make".into(),
            line: 4,
            steps: 6,
            milliseconds: 141_200,
            first_use: Some(19),
        };
        assert_eq!(
            bust(&told, "re-ran"),
            "ARG GIT_SHA (line 4) re-ran 6 steps, 141 s; nothing before line 19 uses it"
        );
        assert_eq!(line(std::slice::from_ref(&told.reason)), "ARG GIT_SHA (line 4): a → b");
        let (name, old) = ("A".to_owned(), Some("1".to_owned()));
        let gone = Reason::Variable { name, old, new: None, declared: None };
        let told = Bust { reason: gone, steps: 1, milliseconds: 0, first_use: None, ..told };
        assert_eq!(bust(&told, "re-runs"), "variable A (unset now) re-runs 1 step, 0.0 s");
    }
}
