use crate::template::Template;

/// How images and their like are printed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListFormat {
    /// Columns.
    Table,
    /// JSON with docker's keys.
    Json,
    /// A template for each.
    Template(Template),
    /// Columns that a template chooses.
    TableOf(Template),
}

/// Reads a `--format`.
pub(super) fn parse(text: &str) -> Result<ListFormat, String> {
    match text {
        "table" => Ok(ListFormat::Table),
        "json" => Ok(ListFormat::Json),
        _ if !text.contains("{{") => {
            Err("it is table, json or a template as {{.Repository}}".to_owned())
        }
        _ => match text.strip_prefix("table ") {
            Some(text) => Template::parse(text).map(ListFormat::TableOf),
            None => Template::parse(text).map(ListFormat::Template),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        assert_eq!(parse("json"), Ok(ListFormat::Json));
        assert!(matches!(parse("{{.ID}}"), Ok(ListFormat::Template(_))));
        assert!(matches!(parse("table {{.ID}}"), Ok(ListFormat::TableOf(_))));
        assert!(parse("yaml").unwrap_err().contains("table, json or a template"));
    }
}
