//! Images to and from archives.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use dfbuild::{Engine, Event, LoadSource, LoadedImage};
use serde_json::json;

use crate::args::{FormatArg, LoadArgs, SaveArgs};
use crate::output;
use crate::progress::Progress;
use crate::registry;
use crate::signals;
use crate::summary::short_name;

/// Writes images to an archive.
pub(crate) fn save(args: &SaveArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let file = args.output.as_ref().filter(|path| path.as_os_str() != "-");
    if file.is_none() && io::stdout().is_terminal() {
        return Err("save images: an archive does not go to a terminal; give -o FILE".into());
    }
    let engine = registry::reach(Engine::open(root)?, &args.registries)?;
    let platform = args.platform.as_ref();
    if let Some(path) = file {
        let bars = Progress::bars();
        let saved = signals::interruptible(&engine, |engine| {
            engine.save(&args.images, platform, path, &bars)
        });
        bars.close();
        return saved;
    }
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    // Behind a pipe there is somebody who may draw bars of their own.
    engine.save_to(&args.images, platform, &mut out, &|_: &Event| {})?;
    Ok(out.flush()?)
}

/// Loads the images of an archive.
pub(crate) fn load(args: &LoadArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let source = match &args.input {
        Some(path) if path.as_os_str() != "-" => LoadSource::Path(path.clone()),
        _ if io::stdin().is_terminal() => {
            return Err("load images: there is no archive on standard input; give -i FILE".into());
        }
        _ => LoadSource::Stream(Box::new(io::stdin())),
    };
    let engine = Engine::open(root)?;
    let engine = if args.trust_archives { engine.trusting_archives() } else { engine };
    let loaded = engine.load(source, &args.tag)?;
    output::print(&text(&loaded, args)?)?;
    for image in loaded.iter().filter(|image| image.partial) {
        let names: Vec<String> = image.names.iter().map(short_name).collect();
        let mut out = io::stderr().lock();
        writeln!(
            out,
            "notice: {} is there for one platform only: the others of its index are not in \
                       the archive",
            names.join(", ")
        )?;
    }
    Ok(())
}

fn text(loaded: &[LoadedImage], args: &LoadArgs) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for image in loaded {
        let names: Vec<String> = image.names.iter().map(short_name).collect();
        if args.quiet {
            text.push_str(&format!("{}\n", image.id));
        } else if args.format == FormatArg::Json {
            let digest = image.descriptor.digest().to_string();
            let value = json!({"ID": image.id, "Digest": digest, "RepoTags": names});
            text.push_str(&output::json_lines([value])?);
        } else {
            for name in &names {
                text.push_str(&format!("Loaded image: {name}\n"));
            }
        }
    }
    Ok(text)
}
