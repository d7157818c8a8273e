use std::path::PathBuf;
use std::time::SystemTime;

use dfbuild::{Engine, ImageDetails};
use serde_json::{Value, json};

use crate::args::{InspectArgs, ListFormat};
use crate::images::Created;
use crate::summary::short_name;
use crate::{output, units};

/// Prints what is known of images.
pub(crate) fn run(args: &InspectArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::open(root)?;
    let (mut found, mut missing) = (Vec::new(), None);
    for name in &args.images {
        match engine.inspect(name, args.platform.as_ref()) {
            Ok(image) => found.push(image),
            // As with docker, those that are there are printed all the same.
            Err(error) if missing.is_none() => missing = Some(error),
            Err(_) => {}
        }
    }
    let documents = || found.iter().map(document).collect::<Vec<_>>();
    let text = match &args.format {
        ListFormat::Json => output::json(&documents())?,
        ListFormat::Template(template) => output::templated(&documents(), template, false)?,
        ListFormat::TableOf(template) => output::templated(&documents(), template, true)?,
        ListFormat::Table => {
            let now = SystemTime::now();
            found.iter().map(|image| table(image, now)).collect::<Vec<_>>().join("\n")
        }
    };
    output::print(&text)?;
    missing.map_or(Ok(()), |error| Err(error.into()))
}

/// The object that `docker inspect` prints, as far as there is a meaning for it here.
fn document(image: &ImageDetails) -> Value {
    let config = &image.config;
    let text = |value: Option<dfbuild::Timestamp>| value.map(|time| time.to_string());
    let origins = image.origins.iter();
    json!({
        "Id": image.id,
        "RepoTags": image.names.iter().map(short_name).collect::<Vec<_>>(),
        "RepoDigests": origins.map(|origin| {
            let digest = origin.digest.map(|digest| digest.to_string()).unwrap_or_default();
            format!("{}@{digest}", origin.familiar_name())
        }).collect::<Vec<_>>(),
        "Created": text(config.created),
        "Author": config.author,
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": image.size(),
        "RootFS": {
            "Type": "layers",
            "Layers": config.rootfs.diff_ids,
        },
        "Metadata": { "LastTagTime": text(image.tagged) },
        "Descriptor": {
            "mediaType": image.descriptor.media_type().to_string(),
            "digest": image.descriptor.digest().to_string(),
            "size": image.descriptor.size(),
        },
        "Platforms": image.platforms.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "Config": config.config,
    })
}

fn table(image: &ImageDetails, now: SystemTime) -> String {
    let config = &image.config.config;
    let created = Created::of(image.config.created, now);
    let mut lines: Vec<(&str, String)> = vec![
        ("Names", list(image.names.iter().map(short_name))),
        ("Image id", image.id.to_string()),
        ("Digest", image.descriptor.digest().to_string()),
        ("Created", format!("{} ({})", created.at, created.since)),
        ("Platforms", list(&image.platforms)),
        ("Size", format!("{} in {} layers", units::human_size(image.size()), image.layers.len())),
        ("User", config.user.clone()),
        ("Workdir", config.working_dir.clone()),
        ("Entrypoint", config.entrypoint.as_ref().map(|args| exec(args)).unwrap_or_default()),
        ("Cmd", config.cmd.as_ref().map(|args| exec(args)).unwrap_or_default()),
        ("Ports", list(config.exposed_ports.keys())),
        ("Volumes", list(config.volumes.keys())),
        ("Stop signal", config.stop_signal.clone()),
    ];
    lines.extend(config.env.iter().map(|variable| ("Env", variable.clone())));
    lines.extend(config.labels.iter().map(|(name, value)| ("Label", format!("{name}={value}"))));
    lines.extend(config.on_build.iter().map(|trigger| ("Onbuild", trigger.clone())));
    let mut text = String::new();
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("{name:<12} {value}\n"));
    }
    for layer in &image.layers {
        let size = units::human_size(layer.size);
        let made = shorten(&layer.created_by, 60);
        text.push_str(&format!("{:<12} {} {size:>7}  {made}\n", "Layer", layer.diff_id.short()));
    }
    text
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// A command as a Dockerfile has it.
fn exec(args: &[String]) -> String {
    serde_json::to_string(args).unwrap_or_default()
}

/// The beginning of a text, if it is longer than there is room.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shortened_by_characters() {
        assert_eq!(shorten("a  b\nc", 10), "a b c");
        assert_eq!(shorten("äöüäöü", 4), "äöü…");
        assert_eq!(shorten("abcd", 4), "abcd");
    }
}
