/// `NAME` or `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyValue {
    pub(crate) name: String,
    /// What stands behind the `=`, if there is one.
    pub(crate) value: Option<String>,
}

pub(crate) fn parse(text: &str) -> Result<KeyValue, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    Ok(KeyValue { name: name.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        for (given, name, value) in [
            ("A", "A", None),
            ("A=", "A", Some("")),
            ("A=b=c", "A", Some("b=c")),
            ("A= b,c ", "A", Some(" b,c ")),
        ] {
            let expect = KeyValue { name: name.into(), value: value.map(Into::into) };
            assert_eq!(parse(given), Ok(expect));
        }
        assert!(parse("=b").is_err());
        assert!(parse("").is_err());
    }
}
