//! The commands that look into the files of images.

use std::path::PathBuf;

use clap::Args;
use dfbuild::Platform;

use super::values::{parse_image, parse_platform};
use super::{FormatArg, RegistryArgs};

/// `cp`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    dfbuild cp app:/etc/nginx.conf .          a file, into this folder\n  \
    dfbuild cp app:1.0:/srv/static ./static   a folder\n  \
    dfbuild cp app:/srv/. ./srv               what is in a folder\n  \
    dfbuild cp app:/srv - | tar t             as a tar archive")]
pub(crate) struct CopyArgs {
    /// Image and the path in it
    #[arg(value_name = "IMAGE:PATH", value_parser = parse_source)]
    pub(crate) source: (String, String),

    /// Folder to copy into, or the new name; `-` writes a tar archive to standard output
    #[arg(value_name = "DEST")]
    pub(crate) dest: PathBuf,

    /// Follow the link that PATH is, instead of copying it
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,

    /// Keep the owners that files have in the image, as far as this user may give them
    #[arg(short, long)]
    pub(crate) archive: bool,

    /// Nothing is told anyway
    #[arg(short, long, hide = true)]
    pub(crate) quiet: bool,

    /// The platform to look at, of an image for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = parse_platform)]
    pub(crate) platform: Option<Platform>,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}

/// `diff`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0 if the images are the same, with 1 if they differ.")]
pub(crate) struct DiffArgs {
    /// Name of an image, or the beginning of its id
    #[arg(value_name = "BEFORE", value_parser = parse_image)]
    pub(crate) before: String,

    /// The image to compare it with
    #[arg(value_name = "AFTER", value_parser = parse_image)]
    pub(crate) after: String,

    /// Let different times of files count
    #[arg(long)]
    pub(crate) times: bool,

    /// How to print it
    #[arg(long, value_enum, value_name = "table|json", default_value_t = FormatArg::Table,
          hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: FormatArg,

    /// The platform to look at, of images for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = parse_platform)]
    pub(crate) platform: Option<Platform>,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}

/// `layers`.
#[derive(Debug, Args)]
pub(crate) struct LayersArgs {
    /// Name of an image, or the beginning of its id
    #[arg(value_name = "IMAGE", value_parser = parse_image)]
    pub(crate) image: String,

    /// Print what each layer does to which file
    #[arg(long)]
    pub(crate) files: bool,

    /// Write a page with all of it
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// How to print it
    #[arg(long, value_enum, value_name = "table|json", default_value_t = FormatArg::Table,
          hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: FormatArg,

    /// The platform to look at, of an image for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = parse_platform)]
    pub(crate) platform: Option<Platform>,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}

/// The path begins behind the last colon that a slash follows: tags have none. Without such a slash
/// it begins behind the last colon, from the root.
fn parse_source(text: &str) -> Result<(String, String), String> {
    let at = text.rfind(":/").or_else(|| text.rfind(':'));
    match at.map(|at| (&text[..at], &text[at + 1..])) {
        Some((image, path)) if !image.is_empty() && !path.is_empty() => {
            Ok((parse_image(image)?, path.to_owned()))
        }
        _ => Err("give IMAGE:PATH, as app:/etc/passwd".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_paths() {
        for (text, image, path) in [
            ("app:/etc", "app", "/etc"),
            ("app:1.0:/etc/x", "app:1.0", "/etc/x"),
            ("localhost:5000/a/b:1:/x", "localhost:5000/a/b:1", "/x"),
            ("app:etc", "app", "etc"),
            ("abcdef123456:/", "abcdef123456", "/"),
        ] {
            assert_eq!(parse_source(text), Ok((image.to_owned(), path.to_owned())), "{text}");
        }
        for bad in ["app", ":/etc", "app:", "App:/etc"] {
            assert!(parse_source(bad).is_err(), "{bad}");
        }
    }
}
