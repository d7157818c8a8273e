use std::time::Duration;

use clap::{Args, ValueEnum};
use dfbuild::StoreLimit;

use crate::units;

/// Show what the store takes on the disk
#[derive(Debug, Args)]
pub(crate) struct DuArgs {
    /// What keeps a blob, layer or record: the digest, or how it begins; or the name of an image, for
    /// what that keeps
    #[arg(long, value_name = "DIGEST|IMAGE")]
    pub(crate) why: Option<String>,

    /// Every part by itself
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// How to print it; json is one object
    #[arg(long, value_enum, value_name = "table|json",
          default_value_t = UpkeepFormat::Table, hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: UpkeepFormat,
}

/// Remove what is not needed from the store. Images and what running builds use stay
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Also what only saves work for images that stay, their folders and their steps' results, and what
    /// tells of builds: logs, and reasons of misses
    #[arg(short, long)]
    pub(crate) all: bool,

    /// Only what was not used for so long, as until=24h
    #[arg(long, value_name = "until=DURATION", value_parser = parse_filter)]
    pub(crate) filter: Option<Duration>,

    /// Keep so much of what was used last, as 10GB
    #[arg(long, value_name = "BYTES[k|m|g]", value_parser = units::parse_size,
          visible_alias = "max-used-space", alias = "reserved-space")]
    pub(crate) keep_storage: Option<u64>,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,

    /// As with docker; there are no volumes
    #[arg(long, hide = true)]
    pub(crate) volumes: bool,
}

/// Look for damage in the store
#[derive(Debug, Args)]
pub(crate) struct FsckArgs {
    /// Remove what is damaged, and make again what can be
    #[arg(long)]
    pub(crate) repair: bool,

    /// Compare the contents of unpacked files as well
    #[arg(long)]
    pub(crate) deep: bool,

    /// How to print it; json is one object a line
    #[arg(long, value_enum, value_name = "table|json",
          default_value_t = UpkeepFormat::Table, hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: UpkeepFormat,
}

/// How to print what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UpkeepFormat {
    /// Lines for people.
    Table,
    /// JSON for programs.
    Json,
}

/// As `docker buildx prune --filter until=24h`.
fn parse_filter(text: &str) -> Result<Duration, String> {
    let limit = text.strip_prefix("until=").ok_or("the only filter is `until=DURATION`")?;
    humantime::parse_duration(limit).map_err(|error| error.to_string())
}

/// A size, `none`, or `default`.
pub(crate) fn parse_limit(text: &str) -> Result<StoreLimit, String> {
    match text {
        "none" => Ok(StoreLimit::Unlimited),
        "default" => Ok(StoreLimit::OfDisk),
        size => units::parse_size(size).map(StoreLimit::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        assert_eq!(parse_filter("until=24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["24h", "until=", "until=yesterday", "label=x"] {
            assert!(parse_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits() {
        assert_eq!(parse_limit("20GB"), Ok(StoreLimit::Bytes(20 << 30)));
        assert_eq!(parse_limit("none"), Ok(StoreLimit::Unlimited));
        assert_eq!(parse_limit("default"), Ok(StoreLimit::OfDisk));
        assert!(parse_limit("much").is_err());
    }
}
