//! `ExposeProtoCasing` and `ExposeInvalidFormat`.

use super::linter::{Linter, Place};
use super::rule::{EXPOSE_INVALID_FORMAT, EXPOSE_PROTO_CASING};

/// Looks at one specification that has a port and a protocol; what has none is an error of its own.
pub(super) fn check(linter: &mut Linter, place: Place, spec: &str) {
    let (mapping, container) =
        spec.rsplit_once(':').map_or((None, spec), |(rest, it)| (Some(rest), it));
    let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
    let lower = protocol.to_lowercase();
    if port.is_empty() || !matches!(lower.as_str(), "" | "tcp" | "udp" | "sctp") {
        return;
    }
    if lower != protocol {
        let detail = format!("Defined protocol '{spec}' in EXPOSE instruction should be lowercase");
        linter.warn(&EXPOSE_PROTO_CASING, place, detail);
    }
    // `::80` maps to nothing from nowhere.
    if mapping.is_some_and(|it| !it.is_empty() && it != ":") {
        let detail = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{spec}'"
        );
        linter.warn(&EXPOSE_INVALID_FORMAT, place, detail);
    }
}
