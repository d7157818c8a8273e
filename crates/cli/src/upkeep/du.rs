use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::SystemTime;

use dfbuild::upkeep::{Inventory, Item, Keeper};
use dfbuild::{Reference, Timestamp};
use serde::Serialize;

use super::{id_of, kind_of, open, shown_id};
use crate::args::{DuArgs, UpkeepFormat};
use crate::output::{self, columns, print};
use crate::units;

/// Shows what the store takes on the disk, or what keeps a part of it.
pub(crate) fn run(args: &DuArgs, root: PathBuf) -> Result<(), Box<dyn Error>> {
    let inventory = open(root)?.inventory()?;
    let items = match &args.why {
        Some(digest) => {
            let found = matching(&inventory, digest);
            let found = if found.is_empty() { kept_by(&inventory, digest) } else { found };
            if found.is_empty() {
                return Err(format!(
                    "nothing in the store has a digest that begins with {digest}, and no image is \
                     called so"
                )
                .into());
            }
            found
        }
        None => inventory.items.iter().collect(),
    };
    let text = match args.format {
        UpkeepFormat::Json => json(&items, &inventory)?,
        UpkeepFormat::Table if args.why.is_some() => why(&items),
        UpkeepFormat::Table if args.verbose => each(&items) + &totals(&inventory),
        UpkeepFormat::Table => by_kind(&items) + &totals(&inventory),
    };
    Ok(print(&text)?)
}

fn matching<'i>(inventory: &'i Inventory, digest: &str) -> Vec<&'i Item> {
    let wanted = digest.strip_prefix("sha256:").unwrap_or(digest);
    let named = |item: &&Item| {
        let id = id_of(item);
        let id = id.strip_prefix("sha256:").unwrap_or(&id);
        id.starts_with(wanted) || item.digests.iter().any(|known| known.hex().starts_with(wanted))
    };
    inventory.items.iter().filter(named).collect()
}

/// What the image of that name keeps.
fn kept_by<'i>(inventory: &'i Inventory, name: &str) -> Vec<&'i Item> {
    let Ok(wanted) = name.parse::<Reference>() else { return Vec::new() };
    let keeps = |item: &&Item| item.kept_by.contains(&Keeper::Tag(wanted.clone()));
    inventory.items.iter().filter(keeps).collect()
}

/// A part of the store for programs.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
struct Part {
    id: String,
    kind: &'static str,
    bytes: u64,
    last_used: String,
    reclaimable: bool,
    reclaimable_with_all: bool,
    records: usize,
    kept_by: Vec<String>,
}

#[derive(Serialize)]
struct Usage {
    total: u64,
    reclaimable: u64,
    reclaimable_with_all: u64,
    items: Vec<Part>,
}

fn json(items: &[&Item], inventory: &Inventory) -> Result<String, serde_json::Error> {
    let parts = items.iter().map(|item| Part {
        id: id_of(item),
        kind: kind_of(item),
        bytes: item.bytes,
        last_used: Timestamp::from(item.last_used).to_string(),
        reclaimable: may_go(item, false),
        reclaimable_with_all: may_go(item, true),
        records: item.records,
        kept_by: item.kept_by.iter().map(keeper).collect(),
    });
    output::json(&Usage {
        total: inventory.total,
        reclaimable: reclaimable(inventory, false),
        reclaimable_with_all: reclaimable(inventory, true),
        items: parts.collect(),
    })
}

fn keeper(keeper: &Keeper) -> String {
    match keeper {
        Keeper::Tag(name) => format!("image {name}"),
        Keeper::Process(0) => "a running build".to_owned(),
        Keeper::Process(pid) => format!("process {pid}"),
        _ => String::new(),
    }
}

/// Why parts of the store are there, in sentences.
fn why(items: &[&Item]) -> String {
    let mut text = String::new();
    for item in items {
        text += &format!("{} {}\n", kind_of(item), id_of(item));
        text += &format!("  takes {}, last used {}\n", units::human_size(item.bytes), ago(item));
        if item.records > 0 {
            text += &format!("  is what {} of builds led to\n", count(item.records, "step record"));
        }
        for keeper in item.kept_by.iter().map(keeper) {
            text += &format!("  kept by {keeper}\n");
        }
        if may_go(item, false) {
            text += "  nothing keeps it: it goes when the store is over its limit, or with `dfbuild prune`\n";
        } else if may_go(item, true) {
            text += "  it only saves work for images that stay, or tells of builds: it goes with `dfbuild prune --all`\n";
        }
    }
    text
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn ago(item: &Item) -> String {
    let age = SystemTime::now().duration_since(item.last_used).unwrap_or_default();
    format!("{} ago", units::human_duration(age).to_lowercase())
}

fn each(items: &[&Item]) -> String {
    let mut sorted: Vec<&&Item> = items.iter().collect();
    sorted.sort_by_key(|item| std::cmp::Reverse(item.bytes));
    let rows = sorted.into_iter().map(|item| {
        let keepers = item.kept_by.first().map(keeper).unwrap_or_default();
        let may_go = match (may_go(item, false), may_go(item, true)) {
            (true, _) => "true",
            (_, true) => "with --all",
            _ => "false",
        };
        let size = units::human_size(item.bytes);
        [shown_id(item), kind_of(item).to_owned(), may_go.to_owned(), size, ago(item), keepers]
    });
    let header = ["ID", "TYPE", "RECLAIMABLE", "SIZE", "LAST USED", "KEPT BY"];
    table(header.map(str::to_owned), rows)
}

fn by_kind(items: &[&Item]) -> String {
    let mut kinds: BTreeMap<&str, (usize, [u64; 3])> = BTreeMap::new();
    for item in items {
        let (number, [bytes, free, with_all]) = kinds.entry(kind_of(item)).or_default();
        *number += 1;
        *bytes += item.bytes;
        *free += if may_go(item, false) { item.bytes } else { 0 };
        *with_all += if may_go(item, true) { item.bytes } else { 0 };
    }
    let rows = kinds.into_iter().map(|(kind, (number, sizes))| {
        let [bytes, free, with_all] = sizes.map(units::human_size);
        [kind.to_owned(), number.to_string(), bytes, free, with_all]
    });
    table(["TYPE", "NUMBER", "SIZE", "RECLAIMABLE", "WITH --ALL"].map(str::to_owned), rows)
}

fn table<const N: usize>(header: [String; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let table: Vec<[String; N]> = [header].into_iter().chain(rows).collect();
    let borrowed: Vec<[&str; N]> =
        table.iter().map(|row| row.each_ref().map(String::as_str)).collect();
    columns(&borrowed)
}

fn totals(inventory: &Inventory) -> String {
    let sizes = [reclaimable(inventory, false), reclaimable(inventory, true), inventory.total];
    let [free, with_all, total] = sizes.map(units::human_size);
    format!(
        "Reclaimable:  {free} with `dfbuild prune`, {with_all} with `dfbuild prune --all`\n\
         Total:        {total}\n"
    )
}

/// Whether `dfbuild prune` takes it, or `prune --all`.
fn may_go(item: &Item, all: bool) -> bool {
    item.kept_by.is_empty() && (all || !item.kind.needs_all())
}

fn reclaimable(inventory: &Inventory, all: bool) -> u64 {
    inventory.items.iter().filter(|item| may_go(item, all)).map(|item| item.bytes).sum()
}
