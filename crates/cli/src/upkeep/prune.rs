use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use dfbuild::upkeep::Prune;

use super::{kind_of, open, shown_id};
use crate::args::PruneArgs;
use crate::output::print;
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
    let mut text = String::new();
    for item in &removed.items {
        let size = units::human_size(item.bytes);
        text += &format!("{}  {size}  {}\n", kind_of(item), shown_id(item));
    }
    text += &format!("Total:  {}\n", units::human_size(removed.bytes));
    Ok(print(&text)?)
}

/// Asks, as docker does.
fn agreed(bytes: u64) -> Result<bool, Box<dyn Error>> {
    if !io::stdin().is_terminal() {
        return Err("there is nobody to ask: use --force".into());
    }
    let mut out = io::stderr().lock();
    write!(
        out,
        "This will remove {} that no image needs. Are you sure you want to continue? [y/N] ",
        units::human_size(bytes)
    )?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
