use std::path::PathBuf;
use std::time::SystemTime;

use dfbuild::{Engine, ImageDetails};
use serde::Serialize;

use crate::args::{HistoryArgs, ListFormat};
use crate::images::Created;
use crate::inspect::shorten;
use crate::output::{self, columns};
use crate::units;

/// Prints how an image came about, the last instruction first, as `docker history` does.
pub(crate) fn run(args: &HistoryArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let image = Engine::open(root)?.inspect(&args.image, args.platform.as_ref())?;
    let rows = rows(&image, args, SystemTime::now());
    let text = match &args.format {
        _ if args.quiet => rows.iter().flat_map(|row| [row.id.as_str(), "\n"]).collect(),
        ListFormat::Json => output::json_lines(&rows)?,
        ListFormat::Template(template) => output::templated(&rows, template, false)?,
        ListFormat::TableOf(template) => output::templated(&rows, template, true)?,
        ListFormat::Table => table(&rows, args.human),
    };
    Ok(output::print(&text)?)
}

/// A line of the history with docker's keys.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    comment: String,
    created_at: String,
    created_by: String,
    created_since: String,
    #[serde(rename = "ID")]
    id: String,
    size: String,
}

fn rows(image: &ImageDetails, args: &HistoryArgs, now: SystemTime) -> Vec<Row> {
    /// As much as docker shows.
    const MOST: usize = 45;
    let HistoryArgs { no_trunc, human, .. } = *args;
    let lines = image.history().into_iter().rev().enumerate();
    let rows = lines.map(|(at, line)| {
        // What made no layer may have no time of its own; it came with the image.
        let own = line.entry.created.filter(|time| time.seconds() > 0);
        let of_image = image.config.created.filter(|_| line.entry.empty_layer);
        let created = Created::of(own.or(of_image), now);
        let id = image.id.to_string();
        Row {
            comment: line.entry.comment,
            created_at: created.at,
            created_since: created.since,
            created_by: if no_trunc {
                line.entry.created_by
            } else {
                shorten(&line.entry.created_by, MOST)
            },
            id: match (at, no_trunc) {
                (0, true) => id,
                (0, false) => output::short_id(&id).to_owned(),
                // Those below are no images of their own.
                _ => "<missing>".to_owned(),
            },
            size: if human { units::human_size(line.size) } else { line.size.to_string() },
        }
    });
    rows.collect()
}

fn table(rows: &[Row], human: bool) -> String {
    let mut table = vec![["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]];
    table.extend(rows.iter().map(|row| {
        let created = if human { &row.created_since } else { &row.created_at };
        [&*row.id, created, &*row.created_by, &*row.size, &*row.comment]
    }));
    columns(&table)
}
