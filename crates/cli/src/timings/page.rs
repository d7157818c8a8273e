/// A page that needs nothing but itself.
pub(super) fn of(json: &str) -> String {
    // In a script only the end of the script means anything.
    include_str!("page.html").replace("\"DATA\"", &json.replace('<', "\\u003c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_does_not_end_the_script() {
        let page = of(r#"{"name":"RUN echo </script>"}"#);
        assert!(page.contains(r#"{"name":"RUN echo \u003c/script>"}"#));
        assert!(
            !page.contains("\"DATA\"") && !page.contains("http://") && !page.contains("https://")
        );
    }
}
