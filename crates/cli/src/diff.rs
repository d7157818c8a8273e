use std::path::PathBuf;
use std::process::ExitCode;

use dfbuild::{Engine, ImageDiff, TreeChange};
use serde_json::{Value, json};

use crate::args::{DiffArgs, FormatArg};
use crate::{output, registry, report, units};

/// Prints what is different between two images, and exits as `diff` does.
pub(crate) fn run(args: &DiffArgs, root: PathBuf) -> ExitCode {
    const TROUBLE: u8 = 2;
    let compare = || {
        let engine = registry::reach(Engine::open(root)?, &args.registries)?;
        let platform = args.platform.as_ref();
        let diff = engine.compare(&args.before, &args.after, platform, args.times)?;
        let id = |name: &str| engine.inspect(name, platform).map(|image| image.id);
        Ok::<_, Box<dyn std::error::Error>>((diff, id(&args.before)? == id(&args.after)?))
    };
    let (diff, same_id) = match compare() {
        Ok(compared) => compared,
        Err(error) => {
            let _ = report::any(&*error);
            return ExitCode::from(TROUBLE);
        }
    };
    let text = match args.format {
        FormatArg::Table => table(&diff, same_id),
        FormatArg::Json => output::json(&document(&diff)).expect("it is written to memory"),
    };
    if let Err(error) = output::print(&text) {
        let _ = report::error(&format!("write to standard output: {error}"));
        return ExitCode::from(TROUBLE);
    }
    let same = diff.files.is_empty() && diff.config.is_empty();
    if same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn document(diff: &ImageDiff) -> Value {
    let files = diff.files.iter().map(|file| match &file.change {
        TreeChange::Added { size } => json!({"path": file.path, "change": "added", "size": size}),
        TreeChange::Removed { size } => {
            json!({"path": file.path, "change": "removed", "size": size})
        }
        TreeChange::Changed { what } => {
            let what = what.iter().map(
                |(name, before, after)| json!({"what": name, "before": before, "after": after}),
            );
            json!({"path": file.path, "change": "changed", "what": what.collect::<Vec<_>>()})
        }
        _ => json!({"path": file.path}),
    });
    let config = diff
        .config
        .iter()
        .map(|part| json!({"name": part.name, "before": part.before, "after": part.after}));
    json!({"files": files.collect::<Vec<_>>(), "config": config.collect::<Vec<_>>()})
}

fn table(diff: &ImageDiff, same_id: bool) -> String {
    let (mut text, mut counts, mut grown) = (String::new(), [0_usize; 3], [0_u64; 2]);
    for file in &diff.files {
        let path = &file.path;
        match &file.change {
            TreeChange::Added { size } => {
                (counts[0], grown[0]) = (counts[0] + 1, grown[0] + size);
                text.push_str(&format!("A {path}{}\n", in_brackets(*size)));
            }
            TreeChange::Removed { size } => {
                (counts[1], grown[1]) = (counts[1] + 1, grown[1] + size);
                text.push_str(&format!("D {path}{}\n", in_brackets(*size)));
            }
            TreeChange::Changed { what } => {
                counts[2] += 1;
                let what = what.iter().map(|(name, a, b)| format!("{name} {a} → {b}"));
                text.push_str(&format!("C {path}: {}\n", what.collect::<Vec<_>>().join(", ")));
            }
            _ => {}
        }
    }
    for part in &diff.config {
        let shown = |value: &Option<Value>| match value {
            None => "(none)".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        let (before, after) = (shown(&part.before), shown(&part.after));
        text.push_str(&format!("config {}: {before} → {after}\n", part.name));
    }
    if text.is_empty() && !same_id {
        return "the images have the same files and the same configuration; their ids differ, by \
                history or times\n"
            .to_owned();
    }
    if text.is_empty() {
        return "the images are the same\n".to_owned();
    }
    let [added, removed, changed] = counts;
    let [more, less] = grown.map(units::human_size);
    text.push_str(&format!(
        "{added} added ({more}), {removed} removed ({less}), {changed} changed; {} of the \
         configuration\n",
        diff.config.len()
    ));
    text
}

fn in_brackets(size: u64) -> String {
    if size == 0 { String::new() } else { format!(" ({})", units::human_size(size)) }
}
