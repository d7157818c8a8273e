//! What each layer of an image adds, overwrites and wastes.

mod html;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::{fs, io};

use dfbuild::{Engine, LayerChangeKind, LayerReport};
use serde_json::{Value, json};

use crate::args::{FormatArg, LayersArgs};
use crate::inspect::shorten;
use crate::output::{self, columns};
use crate::registry;
use crate::units::human_size;

/// Prints what the layers of an image do, or writes a page of it.
pub(crate) fn run(args: &LayersArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let engine = registry::reach(Engine::open(root)?, &args.registries)?;
    let layers = engine.layer_reports(&args.image, args.platform.as_ref())?;
    if let Some(path) = &args.html {
        let page = html::page(&args.image, &layers);
        fs::write(path, page).map_err(|error| {
            io::Error::new(error.kind(), format!("write {}: {error}", path.display()))
        })?;
        let _ = writeln!(io::stderr().lock(), "notice: the page is {}", path.display());
    }
    let text = match args.format {
        FormatArg::Json => output::json(&document(&layers))?,
        FormatArg::Table if args.files => table(&layers) + &files(&layers),
        FormatArg::Table => table(&layers) + &wasted(&layers),
    };
    Ok(output::print(&text)?)
}

fn document(layers: &[LayerReport]) -> Value {
    let layers = layers.iter().map(|layer| {
        let files = layer.changes.iter().map(|change| {
            json!({
                "path": change.path,
                "change": word(change.kind),
                "size": change.size,
                "hidden_by": change.hidden_by,
            })
        });
        json!({
            "diff_id": layer.diff_id,
            "created_by": layer.created_by,
            "size": layer.size,
            "compressed": layer.compressed,
            "wasted": layer.wasted(),
            "files": files.collect::<Vec<_>>(),
        })
    });
    Value::Array(layers.collect())
}

fn word(kind: LayerChangeKind) -> &'static str {
    match kind {
        LayerChangeKind::Added => "added",
        LayerChangeKind::Overwritten => "overwritten",
        LayerChangeKind::Removed => "removed",
        _ => "changed",
    }
}

fn table(layers: &[LayerReport]) -> String {
    const MOST: usize = 60;
    let count = |layer: &LayerReport, kind| match layer.count(kind) {
        (0, _) => "-".to_owned(),
        (count, bytes) => format!("{count} ({})", human_size(bytes)),
    };
    let rows = layers.iter().enumerate().map(|(number, layer)| {
        let wasted = layer.wasted();
        [
            number.to_string(),
            human_size(layer.size),
            count(layer, LayerChangeKind::Added),
            count(layer, LayerChangeKind::Overwritten),
            count(layer, LayerChangeKind::Removed),
            if wasted == 0 { "-".to_owned() } else { human_size(wasted) },
            shorten(&layer.created_by, MOST),
        ]
    });
    let rows: Vec<[String; 7]> = rows.collect();
    let header = ["LAYER", "SIZE", "ADDED", "OVERWRITTEN", "REMOVED", "WASTED", "INSTRUCTION"];
    let mut table = vec![header];
    table.extend(rows.iter().map(|row| row.each_ref().map(String::as_str)));
    columns(&table) + &summary(layers) + "\n"
}

/// The files of an image in one line.
fn summary(layers: &[LayerReport]) -> String {
    let (all, wasted) = totals(layers);
    let size = human_size(layers.iter().map(|layer| layer.size).sum());
    let share = percent(all - wasted, all);
    let (visible, hidden) = (human_size(all - wasted), human_size(wasted));
    format!(
        "{size} in {} layers: {visible} of files are seen, {hidden} are not ({share} % efficient)",
        layers.len()
    )
}

/// How many bytes of files the layers have, and how many of them are hidden by other layers.
fn totals(layers: &[LayerReport]) -> (u64, u64) {
    let written = layers.iter().flat_map(|layer| &layer.changes);
    let written = written.filter(|change| change.kind != LayerChangeKind::Removed);
    let all = written.map(|change| change.size).sum();
    (all, layers.iter().map(LayerReport::wasted).sum())
}

fn percent(part: u64, all: u64) -> u64 {
    (part * 100).checked_div(all).unwrap_or(100)
}

/// The paths that waste most: their bytes, and in how many layers.
fn most_wasted(layers: &[LayerReport]) -> Vec<(&str, u64, usize)> {
    let mut paths: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    let hidden = layers.iter().flat_map(|layer| &layer.changes);
    for change in hidden.filter(|change| change.hidden_by.is_some() && change.size > 0) {
        let (bytes, count) = paths.entry(&change.path).or_default();
        (*bytes, *count) = (*bytes + change.size, *count + 1);
    }
    let mut all: Vec<(&str, u64, usize)> =
        paths.into_iter().map(|(path, (bytes, count))| (path, bytes, count)).collect();
    all.sort_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes));
    all
}

fn wasted(layers: &[LayerReport]) -> String {
    const MOST: usize = 10;
    let all = most_wasted(layers);
    if all.is_empty() {
        return String::new();
    }
    let mut text = "\nWASTED     COPIES   PATH\n".to_owned();
    for (path, bytes, count) in all.iter().take(MOST) {
        text.push_str(&format!("{:<11}{count:<9}{path}\n", human_size(*bytes)));
    }
    if all.len() > MOST {
        text.push_str(&format!("({} more; --files shows all)\n", all.len() - MOST));
    }
    text
}

fn files(layers: &[LayerReport]) -> String {
    let mut text = String::new();
    for (number, layer) in layers.iter().enumerate() {
        text.push_str(&format!("\nlayer {number}: {}\n", layer.created_by));
        for change in &layer.changes {
            let sign = match change.kind {
                LayerChangeKind::Added => 'A',
                LayerChangeKind::Removed => 'D',
                _ => 'C',
            };
            let hidden = match change.hidden_by {
                Some(by) => format!(" (hidden by layer {by})"),
                None => String::new(),
            };
            let size = human_size(change.size);
            text.push_str(&format!("{sign} {size:>7} {}{hidden}\n", change.path));
        }
    }
    text
}
