//! Port specifications of `EXPOSE`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::{all_consuming, opt};
use nom::sequence::preceded;
use nom::{IResult, Parser};

use crate::quote::quote;

/// Reads one specification, `[ip:][host:]port[-port][/protocol]`, into its `port/protocol` keys.
pub fn parse_spec(spec: &str) -> Result<Vec<String>, PortError> {
    let fail = |message: String| PortError { spec: spec.to_owned(), message };
    let unusable = |reason: &str| fail(format!("invalid port: {}: {reason}", quote(spec)));
    let (rest, container) =
        spec.rsplit_once(':').map_or((None, spec), |(rest, port)| (Some(rest), port));
    let (ip, host) = match rest {
        None => ("", ""),
        Some(rest) => rest.rsplit_once(':').unwrap_or(("", rest)),
    };
    let (container, protocol) = container.split_once('/').unwrap_or((container, ""));
    if container.is_empty() {
        return Err(unusable("no port specified"));
    }
    let protocol = match protocol.to_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        other => return Err(unusable(&format!("invalid proto: {other}"))),
    };
    check_ip(ip).map_err(fail)?;
    let ports =
        range(container).ok_or_else(|| fail(format!("invalid containerPort: {container}")))?;
    if !host.is_empty() {
        let host_ports = range(host).ok_or_else(|| fail(format!("invalid hostPort: {host}")))?;
        let width = |ports: &RangeInclusive<u16>| ports.end() - ports.start();
        if width(&ports) != width(&host_ports) && width(&ports) != 0 {
            return Err(fail(format!(
                "invalid ranges specified for container and host Ports: {container} and {host}"
            )));
        }
    }
    Ok(ports.map(|port| format!("{port}/{protocol}")).collect())
}

/// A specification that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// The specification.
    pub spec: String,
    /// What is wrong, in the words of the reference implementation.
    pub message: String,
}

fn check_ip(ip: &str) -> Result<(), String> {
    let inner = ip.strip_prefix('[').map_or(Some(ip), |rest| rest.strip_suffix(']'));
    let inner = inner
        .ok_or_else(|| format!("invalid IP address {ip}: address {ip}:: missing ']' in address"))?;
    if ip.is_empty() || inner.parse::<Ipv4Addr>().is_ok() || inner.parse::<Ipv6Addr>().is_ok() {
        return Ok(());
    }
    Err(format!("invalid IP address: {inner}"))
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (_, (first, last)) = numbers(text).ok()?;
    let first = first.parse::<u16>().ok()?;
    let last = last.map_or(Some(first), |it| it.parse().ok())?;
    if last < first { None } else { Some(first..=last) }
}

fn numbers(input: &str) -> IResult<&str, (&str, Option<&str>)> {
    let digits = || take_while1(|it: char| it.is_ascii_digit());
    all_consuming((digits(), opt(preceded(char('-'), digits())))).parse(input)
}

#[cfg(test)]
mod tests {
    use super::parse_spec;

    #[test]
    fn specifications_name_container_ports() {
        let table: [(&str, &[&str]); 7] = [
            ("80", &["80/tcp"]),
            ("80/UDP", &["80/udp"]),
            ("7-9/sctp", &["7/sctp", "8/sctp", "9/sctp"]),
            ("8080:80", &["80/tcp"]),
            ("127.0.0.1::80", &["80/tcp"]),
            ("[::1]:8000-9000:80", &["80/tcp"]),
            ("0", &["0/tcp"]),
        ];
        for (spec, expect) in table {
            assert_eq!(parse_spec(spec).unwrap(), expect, "{spec}");
        }
    }

    #[test]
    fn other_text_is_an_error() {
        for spec in [
            "",
            "/tcp",
            "80/foo",
            "65536",
            "9-7",
            "1-2-3",
            "x",
            "80:",
            "1-2:3-5",
            "1.2.3:1:2",
            "[::1:1:2",
            "-1",
        ] {
            assert!(parse_spec(spec).is_err(), "{spec}");
        }
        assert_eq!(
            parse_spec("a:").unwrap_err().to_string(),
            "invalid port: \"a:\": no port specified"
        );
    }
}
