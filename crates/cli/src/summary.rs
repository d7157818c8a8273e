use std::fmt;
use std::time::Duration;

use dfbuild::{Built, Reference};
use serde::Serialize;

use crate::units;

/// What a build came to. Shown as four lines.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    pub(crate) image_id: String,
    /// The digest of the manifest.
    pub(crate) digest: String,
    /// Names with everything filled in.
    pub(crate) tags: Vec<String>,
    /// The same as people type them.
    #[serde(skip)]
    pub(crate) short_tags: Vec<String>,
    /// The sum of the uncompressed layers, in bytes.
    pub(crate) size: u64,
    pub(crate) layers: usize,
    pub(crate) cached: usize,
    pub(crate) ran: usize,
    pub(crate) seconds: f64,
}

impl From<&Built> for Summary {
    fn from(built: &Built) -> Self {
        Self {
            image_id: built.image_id.to_string(),
            digest: built.descriptor.digest().to_string(),
            tags: built.tags.iter().map(ToString::to_string).collect(),
            short_tags: built.tags.iter().map(short_name).collect(),
            size: built.size,
            layers: built.layers,
            cached: built.cached,
            ran: built.ran,
            seconds: built.duration.as_secs_f64(),
        }
    }
}

/// `base:latest`, as people type it.
pub(crate) fn short_name(reference: &Reference) -> String {
    match &reference.tag {
        Some(tag) => format!("{}:{tag}", reference.familiar_name()),
        None => reference.familiar_name(),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "image {}", self.image_id)?;
        if !self.short_tags.is_empty() {
            writeln!(f, "tags  {}", self.short_tags.join(", "))?;
        }
        let size = units::human_size(self.size);
        writeln!(f, "size  {size} in {}", count(self.layers, "layer"))?;
        let time = units::seconds(Duration::from_secs_f64(self.seconds));
        write!(f, "time  {time}, {} cached, {} ran", count(self.cached, "step"), self.ran)
    }
}

fn count(number: usize, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_lines() {
        let summary = Summary {
            image_id: "sha256:12".into(),
            digest: "sha256:34".into(),
            tags: vec!["docker.io/library/base:latest".into()],
            short_tags: vec!["base:latest".into()],
            size: 72_840_000,
            layers: 1,
            cached: 5,
            ran: 2,
            seconds: 12.34,
        };
        assert_eq!(
            summary.to_string(),
            "image sha256:12\ntags  base:latest\nsize  72.8MB in 1 layer\n\
             time  12.3s, 5 steps cached, 2 ran"
        );
    }
}
