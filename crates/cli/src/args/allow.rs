/// What `--allow` grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entitlement {
    /// `RUN --network=host`.
    NetworkHost,
    /// `RUN --security=insecure`.
    SecurityInsecure,
}

pub(crate) fn parse(value: &str) -> Result<Entitlement, String> {
    match value {
        "network.host" => Ok(Entitlement::NetworkHost),
        "security.insecure" => Ok(Entitlement::SecurityInsecure),
        _ => Err("expected network.host or security.insecure".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entitlements() {
        assert_eq!(parse("network.host"), Ok(Entitlement::NetworkHost));
        assert_eq!(parse("security.insecure"), Ok(Entitlement::SecurityInsecure));
        assert!(parse("device").is_err());
    }
}
