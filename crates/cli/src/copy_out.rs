use std::error::Error;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use dfbuild::{CopyFrom, Engine, SnapshotterChoice};

use crate::args::CopyArgs;
use crate::{engine, registry, signals};

/// Copies files of an image to this machine.
pub(crate) fn run(args: &CopyArgs, root: PathBuf) -> Result<(), Box<dyn Error>> {
    let to_stdout = args.dest.as_os_str() == "-";
    if to_stdout && io::stdout().is_terminal() {
        return Err("copy files: an archive does not go to a terminal".into());
    }
    // Layers are unpacked with the owners that they have.
    let engine = engine::open(root, SnapshotterChoice::Auto)?;
    let engine = registry::reach(engine, &args.registries)?;
    let (image, path) = args.source.clone();
    let (follow_link, owners, platform) = (args.follow_link, args.archive, args.platform.clone());
    let from = CopyFrom { image, path, follow_link, owners, platform };
    if !to_stdout {
        return signals::interruptible(&engine, |engine| engine.copy_out(&from, &args.dest))
            .or_else(|error| meant(&engine, &from, error));
    }
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    engine.copy_out_tar(&from, &mut out).or_else(|error| meant(&engine, &from, error.into()))?;
    Ok(out.flush()?)
}

/// The error, unless the path is the tag of an image that there is.
fn meant(engine: &Engine, from: &CopyFrom, error: Box<dyn Error>) -> Result<(), Box<dyn Error>> {
    let image = format!("{}:{}", from.image, from.path);
    match engine.inspect(&image, None) {
        Ok(_) => {
            Err(format!("copy files: {image} is an image: give IMAGE:PATH, as {image}:/etc/passwd")
                .into())
        }
        Err(_) => Err(error),
    }
}
