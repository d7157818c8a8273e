use dfbuild::BuildContext;

/// Reads `NAME=VALUE` of `--build-context`.
pub(crate) fn parse(text: &str) -> Result<(String, BuildContext), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() || value.is_empty() {
        return Err("expected NAME=VALUE".to_owned());
    }
    if value == "-" || value.starts_with("target:") {
        return Err(format!(
            "`{value}` cannot be a named context: give a folder, oci-layout://, docker-image://, a \
             git repository or https://"
        ));
    }
    Ok((name.to_owned(), BuildContext::parse(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let (name, context) = parse("base=oci-layout:///images:1").unwrap();
        assert_eq!(name, "base");
        assert_eq!(context, BuildContext::OciLayout("/images".into(), Some("1".into())));
        assert_eq!(parse("docs=../docs").unwrap().1, BuildContext::Directory("../docs".into()));
        assert_eq!(parse("a=docker-image://b").unwrap().1, BuildContext::Image("b".into()));
        let git = "https://a.example/b.git#main:sub";
        assert_eq!(parse(&format!("a={git}")).unwrap().1, BuildContext::Git(git.into()));
        let url = "https://a.example/b.tar?x=y";
        assert_eq!(parse(&format!("a={url}")).unwrap().1, BuildContext::Url(url.into()));
        for bad in ["base", "=x", "x=", "x=target:y", "x=-"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
