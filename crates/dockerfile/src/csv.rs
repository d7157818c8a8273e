//! One record of comma-separated values, as Go's `encoding/csv` reads it.

/// Splits a record. Fields may be in double quotes, in which `""` is a quote.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, String> {
    let error =
        |at: usize, what: &str| Err(format!("parse error on line 1, column {}: {what}", at + 1));
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let Some(quoted) = rest.strip_prefix('"') else {
            let field = rest.split(',').next().unwrap_or_default();
            if let Some(quote) = field.find('"') {
                return error(at + quote, "bare \" in non-quoted field");
            }
            fields.push(field.to_owned());
            at += field.len();
            if at == text.len() {
                return Ok(fields);
            }
            at += 1;
            continue;
        };
        let mut field = String::new();
        let mut inside = quoted;
        loop {
            let Some((before, after)) = inside.split_once('"') else {
                return error(text.len(), "extraneous or missing \" in quoted-field");
            };
            field.push_str(before);
            inside = after;
            let Some(after) = inside.strip_prefix('"') else { break };
            field.push('"');
            inside = after;
        }
        fields.push(field);
        at = text.len() - inside.len();
        match inside.chars().next() {
            None => return Ok(fields),
            Some(',') => at += 1,
            Some(_) => return error(at - 1, "extraneous or missing \" in quoted-field"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn quotes_protect_commas() {
        assert_eq!(fields("a,\"b,\"\"c\"\"\",").unwrap(), ["a", "b,\"c\"", ""]);
        assert_eq!(fields("").unwrap(), [""]);
    }

    #[test]
    fn stray_quotes_are_errors() {
        assert_eq!(
            fields("a,b\"c").unwrap_err(),
            "parse error on line 1, column 4: bare \" in non-quoted field"
        );
        assert!(fields("\"a").is_err());
        assert!(fields("\"a\"b").is_err());
    }
}
