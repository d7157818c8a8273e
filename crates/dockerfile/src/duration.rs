//! Durations as Go writes them: `1h30m`, `1.5s`, `-2ms`.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::combinator::opt;
use nom::{IResult, Parser};

use crate::quote::quote;

/// Reads a duration into nanoseconds. The error is Go's text.
pub fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (after, (whole, fraction)) = number(rest).map_err(|_| invalid())?;
        if whole.is_empty() && fraction.is_none_or(str::is_empty) {
            return Err(invalid());
        }
        let (after, unit) = take_while::<_, _, nom::error::Error<&str>>(|it: char| {
            it != '.' && !it.is_ascii_digit()
        })
        .parse(after)
        .map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let nanoseconds = unit_nanoseconds(unit).ok_or_else(|| {
            format!("time: unknown unit {} in duration {}", quote(unit), quote(text))
        })?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let part = whole.checked_mul(nanoseconds).ok_or_else(invalid)?;
        let part = part
            .checked_add(fraction_of(fraction.unwrap_or_default(), nanoseconds))
            .ok_or_else(invalid)?;
        total = total.checked_add(part).filter(|it| *it <= 1 << 63).ok_or_else(invalid)?;
        rest = after;
    }
    if negative {
        return Ok(0i64.wrapping_sub_unsigned(total));
    }
    i64::try_from(total).map_err(|_| invalid())
}

fn number(input: &str) -> IResult<&str, (&str, Option<&str>)> {
    let digits = |input| take_while(|it: char| it.is_ascii_digit()).parse(input);
    let digits1 = take_while1(|it: char| it.is_ascii_digit());
    alt(((digits1, opt((tag("."), digits))), (tag(""), opt((tag("."), digits)))))
        .map(|(whole, fraction)| (whole, fraction.map(|(_, digits)| digits)))
        .parse(input)
}

fn unit_nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // Both the micro sign and the Greek letter are in use.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// The digits behind a point as nanoseconds; digits that no longer count are dropped.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let digits = &digits[..digits.len().min(18)];
    let scale = 10u128.pow(u32::try_from(digits.len()).unwrap_or_default());
    let value: u128 = digits.parse().unwrap_or_default();
    u64::try_from(value * u128::from(unit) / scale).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn durations_add_up() {
        let table = [
            ("0", 0),
            ("30s", 30_000_000_000),
            ("1h2m3s4ms5us6ns", 3_723_004_005_006),
            ("1.5m", 90_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("-2ms", -2_000_000),
            ("+1\u{b5}s", 1_000),
        ];
        for (text, expect) in table {
            assert_eq!(parse(text), Ok(expect), "{text}");
        }
    }

    #[test]
    fn errors_are_go_s() {
        let table = [
            ("", "time: invalid duration \"\""),
            ("x", "time: invalid duration \"x\""),
            (".", "time: invalid duration \".\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5 s", "time: unknown unit \" s\" in duration \"5 s\""),
            ("9999999999h", "time: invalid duration \"9999999999h\""),
        ];
        for (text, expect) in table {
            assert_eq!(parse(text), Err(expect.to_owned()), "{text}");
        }
    }
}
