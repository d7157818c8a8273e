use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use dfbuild::upkeep::{ItemKind, Prune, Removed};

use super::{kind_of, open, shown_id};
use crate::args::PruneArgs;
use crate::output::{columns, print};
use crate::units;

/// Removes what is not needed from the store, as `docker buildx prune` does.
pub(crate) fn run(args: &PruneArgs, root: PathBuf) -> Result<(), Box<dyn Error>> {
    let engine = open(root)?;
    let mut prune = Prune::default();
    (prune.all, prune.unused_for, prune.keep_bytes) = (args.all, args.filter, args.keep_storage);
    if !args.force && !agreed(engine.prunable(&prune)?)? {
        return Ok(());
    }
    let removed = engine.prune(&prune)?;
    print(&told(&removed))?;
    Ok(removed.refused.map_or(Ok(()), |error| Err(dfbuild::Error::from(error)))?)
}

/// What was removed. What nobody knows by name, such as the notes of builds, is counted only.
fn told(removed: &Removed) -> String {
    let mut rows = Vec::new();
    let mut unnamed: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for item in &removed.items {
        if let ItemKind::Leftover(_) | ItemKind::Log(_) | ItemKind::Note(_) | ItemKind::Scratch(_) =
            item.kind
        {
            let (count, bytes) = unnamed.entry(kind_of(item)).or_default();
            (*count, *bytes) = (*count + 1, *bytes + item.bytes);
        } else {
            rows.push([kind_of(item).to_owned(), shown_id(item), units::human_size(item.bytes)]);
        }
    }
    rows.extend(unnamed.into_iter().map(|(kind, (count, bytes))| {
        [kind.to_owned(), format!("{count} of them"), units::human_size(bytes)]
    }));
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(String::as_str)).collect();
    columns(&rows) + &format!("Total:  {}\n", units::human_size(removed.bytes))
}

/// Asks, as docker does; an answer may come from a pipe. To remove nothing takes no answer.
fn agreed(bytes: u64) -> Result<bool, Box<dyn Error>> {
    if bytes == 0 {
        return Ok(true);
    }
    let (size, is_terminal) = (units::human_size(bytes), io::stdin().is_terminal());
    if is_terminal {
        let mut out = io::stderr().lock();
        let question = "Are you sure you want to continue? [y/N] ";
        write!(out, "This will remove {size} that no image needs. {question}")?;
        out.flush()?;
    }
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.is_empty() && !is_terminal {
        let text = format!("there is nobody to ask whether to remove {size}: use --force");
        return Err(text.into());
    }
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
