use std::net::IpAddr;

/// Reads `NAME:IP` or `NAME=IP`; an IPv6 address may stand in brackets. `host-gateway` is this
/// machine, whose network commands share.
pub(crate) fn parse(value: &str) -> Result<(String, String), String> {
    let at = value.find(['=', ':']).ok_or("expected NAME:IP")?;
    let (name, address) = (&value[..at], &value[at + 1..]);
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if address == "host-gateway" {
        return Ok((name.to_owned(), "127.0.0.1".to_owned()));
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(address);
    if address.parse::<IpAddr>().is_err() {
        return Err(format!("`{address}` is no IP address"));
    }
    Ok((name.to_owned(), address.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        for (given, name, address) in [
            ("foo:1.2.3.4", "foo", "1.2.3.4"),
            ("foo=1.2.3.4", "foo", "1.2.3.4"),
            ("bar:::1", "bar", "::1"),
            ("bar=::1", "bar", "::1"),
            ("bar:[fe80::1]", "bar", "fe80::1"),
            ("gw:host-gateway", "gw", "127.0.0.1"),
        ] {
            assert_eq!(parse(given), Ok((name.to_owned(), address.to_owned())), "{given}");
        }
        for bad in ["foo", ":1.2.3.4", "foo:", "foo:1.2.3", "foo:bar", "foo:[::1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
