//! Giving images names and taking them away.

use std::path::PathBuf;

use dfbuild::{Engine, Error};
use serde_json::json;

use crate::args::{FormatArg, RemoveArgs, TagArgs};
use crate::summary::short_name;
use crate::{output, units};

/// Gives an image a further name.
pub(crate) fn tag(args: &TagArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    Ok(Engine::open(root)?.tag(&args.image, &args.name)?)
}

/// Takes names away. Says what no image needs any more.
pub(crate) fn remove(args: &RemoveArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::open(root)?;
    let (mut unused, mut text) = (0, String::new());
    for name in &args.images {
        let removed = match engine.untag(name, args.force) {
            // As with `rm -f`.
            Err(Error::Image { .. }) if args.force => continue,
            // What was done before is told all the same.
            Err(error) => {
                output::print(&text)?;
                return Err(error.into());
            }
            Ok(removed) => removed,
        };
        unused += removed.unused;
        let names: Vec<String> = removed.names.iter().map(short_name).collect();
        if args.format == FormatArg::Json {
            let value =
                json!({"Untagged": names, "Nameless": removed.nameless, "Unused": removed.unused});
            text.push_str(&output::json_lines([value])?);
            continue;
        }
        for name in &names {
            text.push_str(&format!("Untagged: {name}\n"));
        }
        // Nothing finds it any more, although its blobs are there.
        if let Some(id) = removed.nameless {
            text.push_str(&format!("Deleted: {id}\n"));
        }
    }
    if unused > 0 && args.format == FormatArg::Table {
        let size = units::human_size(unused);
        text.push_str(&format!(
            "{size} of blobs belong to no image any more; `dfbuild prune` removes them\n"
        ));
    }
    Ok(output::print(&text)?)
}
