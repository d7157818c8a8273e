use dfbuild::Usage;
use serde::Serialize;

/// What a step took, as data: times in seconds, lengths in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct UsageRecord {
    /// Processor time of its command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system: Option<f64>,
    /// Processor time of this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) own: Option<f64>,
    /// The files that a copy took from its sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) copied: Option<u64>,
    /// The archive of its layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) layer: Option<u64>,
}

impl From<&Usage> for UsageRecord {
    fn from(usage: &Usage) -> Self {
        Self {
            user: usage.command.map(|time| time.user.as_secs_f64()),
            system: usage.command.map(|time| time.system.as_secs_f64()),
            own: usage.own.map(|time| time.as_secs_f64()),
            copied: usage.copied,
            layer: usage.layer,
        }
    }
}
