use std::num::NonZeroUsize;

/// A line of a Dockerfile: the value of `--no-cache-step`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepPlace {
    /// The name of the Dockerfile, if it was given.
    pub(crate) file: Option<String>,
    pub(crate) line: usize,
}

/// Reads `Dockerfile:12`, `:12` or `12`.
pub(super) fn parse(value: &str) -> Result<StepPlace, String> {
    let (file, line) = value.rsplit_once(':').unwrap_or(("", value));
    let line = line.parse::<NonZeroUsize>();
    let line = line.map_err(|_| "expected a line, as Dockerfile:12 or 12".to_owned())?;
    let file = (!file.is_empty()).then(|| file.to_owned());
    Ok(StepPlace { file, line: line.get() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = |file: Option<&str>| StepPlace { file: file.map(ToOwned::to_owned), line: 12 };
        assert_eq!(parse("Dockerfile:12"), Ok(place(Some("Dockerfile"))));
        assert_eq!(parse(":12"), Ok(place(None)));
        assert_eq!(parse("12"), Ok(place(None)));
        for bad in ["", "Dockerfile", "0", "x:0", "12:", "-1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
