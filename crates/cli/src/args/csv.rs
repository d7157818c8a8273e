//! The comma lists of `key=value` that docker's flags take.

/// Splits a value into pairs. A key without `=` has an empty value and stands there as
/// `(key, "")`; keys are lower-cased, as docker does.
pub(crate) fn key_values(value: &str) -> Result<Vec<(String, String)>, String> {
    let fields = fields(value)?;
    let pairs = fields.iter().map(|field| {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        (key.trim().to_ascii_lowercase(), value.to_owned())
    });
    Ok(pairs.collect())
}

/// Splits one record of comma-separated values: a field in double quotes may hold commas, and a
/// doubled quote stands for one (RFC 4180, as Go's `encoding/csv` reads it).
pub(crate) fn fields(value: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = value;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => plain_field(rest)?,
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// A field, and what follows the comma behind it.
type Field<'a> = (String, Option<&'a str>);

fn plain_field(text: &str) -> Result<Field<'_>, String> {
    let (field, after) = match text.split_once(',') {
        Some((field, after)) => (field, Some(after)),
        None => (text, None),
    };
    if field.contains('"') {
        return Err(format!("a quote stands in the middle of `{field}`: quote the whole field"));
    }
    Ok((field.to_owned(), after))
}

fn quoted_field(text: &str) -> Result<Field<'_>, String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or("a quoted field has no end")?;
        field.push_str(part);
        if let Some(after) = after.strip_prefix('"') {
            field.push('"');
            rest = after;
        } else if after.is_empty() {
            return Ok((field, None));
        } else if let Some(after) = after.strip_prefix(',') {
            return Ok((field, Some(after)));
        } else {
            return Err(format!("`{after}` follows a quoted field: expected a comma"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_quotes() {
        for (given, expect) in [
            ("a", vec!["a"]),
            ("", vec![""]),
            ("a,b=c", vec!["a", "b=c"]),
            ("type=oci,\"dest=a,b\"", vec!["type=oci", "dest=a,b"]),
            ("\"say \"\"hi\"\"\",x", vec!["say \"hi\"", "x"]),
            ("a,", vec!["a", ""]),
        ] {
            assert_eq!(fields(given).unwrap(), expect, "{given}");
        }
        for bad in ["a\"b", "\"a", "\"a\"b"] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_lower_case() {
        let pairs = key_values("Type=local,dest=A=b,flag").unwrap();
        let expect = [("type", "local"), ("dest", "A=b"), ("flag", "")];
        assert_eq!(pairs, expect.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
