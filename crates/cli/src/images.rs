use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use dfbuild::{Engine, ImageSummary, Reference};
use serde::Serialize;

use crate::args::{ImagesArgs, ImagesFormat};
use crate::units;

/// Lists the images of the store as `docker images` does.
pub(crate) fn run(args: &ImagesArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let filter = args.name.as_deref().map(Filter::parse).transpose()?;
    let now = SystemTime::now();
    let images = Engine::open(root)?.images()?;
    let wanted = images
        .iter()
        .filter(|image| filter.as_ref().is_none_or(|filter| filter.matches(&image.reference)));
    let rows: Vec<Row> = wanted.map(|image| Row::of(image, now)).collect();
    let text = render(&rows, args);
    match io::stdout().lock().write_all(text.as_bytes()) {
        // `dfbuild images | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// An image with docker's words and keys.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    created_at: String,
    created_since: String,
    digest: String,
    #[serde(rename = "ID")]
    id: String,
    repository: String,
    size: String,
    tag: String,
}

impl Row {
    fn of(image: &ImageSummary, now: SystemTime) -> Self {
        const NONE: &str = "<none>";
        // An image that does not say when it was made has the zero time.
        let created = image.created.filter(|time| time.seconds() > 0);
        Self {
            created_at: created.map_or_else(|| "N/A".to_owned(), |time| time.to_string()),
            created_since: created.map_or_else(
                || "N/A".to_owned(),
                |time| {
                    let age: Duration = now.duration_since(time.system_time()).unwrap_or_default();
                    format!("{} ago", units::human_duration(age))
                },
            ),
            digest: image.digest.to_string(),
            id: image.id.to_string(),
            repository: image.reference.familiar_name(),
            size: units::human_size(image.size),
            tag: image.reference.tag.clone().unwrap_or_else(|| NONE.to_owned()),
        }
    }

    fn shown_id(&self, no_trunc: bool) -> &str {
        match self.id.strip_prefix("sha256:") {
            Some(hex) if !no_trunc => hex.get(..12).unwrap_or(hex),
            _ => &self.id,
        }
    }
}

fn render(rows: &[Row], args: &ImagesArgs) -> String {
    if args.quiet {
        return rows.iter().flat_map(|row| [row.shown_id(args.no_trunc), "\n"]).collect();
    }
    if args.format == ImagesFormat::Json {
        let lines = rows.iter().filter_map(|row| {
            let id = row.shown_id(args.no_trunc).to_owned();
            serde_json::to_string(&Row { id, ..row.clone() }).ok()
        });
        return lines.map(|line| line + "\n").collect();
    }
    let header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
    let mut table = vec![header];
    table.extend(rows.iter().map(|row| {
        let id = row.shown_id(args.no_trunc);
        [row.repository.as_str(), &row.tag, id, &row.created_since, &row.size]
    }));
    columns(&table)
}

/// Columns as Go's `tabwriter` makes them for docker: at least 10 wide, 3 spaces between, nothing
/// behind the last.
fn columns<const N: usize>(table: &[[&str; N]]) -> String {
    const NARROWEST: usize = 10;
    const PADDING: usize = 3;
    let mut widths = [NARROWEST; N];
    for row in table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count() + PADDING);
        }
    }
    let mut text = String::new();
    for row in table {
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            if at + 1 < N {
                text.push_str(&format!("{cell:width$}"));
            } else {
                text.push_str(cell);
            }
        }
        text.push('\n');
    }
    text
}

/// Which images are asked for: a name, with any tag if none is given.
struct Filter {
    reference: Reference,
    any_tag: bool,
}

impl Filter {
    fn parse(name: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let last = name.rsplit('/').next().unwrap_or(name);
        Ok(Self { reference: name.parse::<Reference>()?, any_tag: !last.contains([':', '@']) })
    }

    fn matches(&self, image: &Reference) -> bool {
        image.registry == self.reference.registry
            && image.repository == self.reference.repository
            && (self.any_tag || image.tag == self.reference.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(repository: &str, tag: &str, since: &str, size: &str) -> Row {
        Row {
            created_at: "2024-01-01T00:00:00Z".into(),
            created_since: since.into(),
            digest: format!("sha256:{}", "cd".repeat(32)),
            id: format!("sha256:{}", "ab".repeat(32)),
            repository: repository.into(),
            size: size.into(),
            tag: tag.into(),
        }
    }

    fn args(format: ImagesFormat, quiet: bool, no_trunc: bool) -> ImagesArgs {
        ImagesArgs { name: None, format, quiet, no_trunc }
    }

    #[test]
    fn the_table_is_dockers() {
        let rows = [
            row("base", "latest", "2 minutes ago", "72.8MB"),
            row("registry.example/team/app", "1.0", "About an hour ago", "1.2GB"),
        ];
        assert_eq!(
            render(&rows, &args(ImagesFormat::Table, false, false)),
            "\
REPOSITORY                  TAG       IMAGE ID       CREATED             SIZE
base                        latest    abababababab   2 minutes ago       72.8MB
registry.example/team/app   1.0       abababababab   About an hour ago   1.2GB
"
        );
        assert_eq!(
            render(&[], &args(ImagesFormat::Table, false, false)),
            "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"
        );
    }

    #[test]
    fn ids_and_json() {
        let rows = [row("base", "latest", "2 minutes ago", "72.8MB")];
        assert_eq!(render(&rows, &args(ImagesFormat::Table, true, false)), "abababababab\n");
        let whole = format!("sha256:{}\n", "ab".repeat(32));
        assert_eq!(render(&rows, &args(ImagesFormat::Table, true, true)), whole);
        let digest = format!("sha256:{}", "cd".repeat(32));
        assert_eq!(
            render(&rows, &args(ImagesFormat::Json, false, false)),
            format!(
                r#"{{"CreatedAt":"2024-01-01T00:00:00Z","CreatedSince":"2 minutes ago","Digest":"{digest}","ID":"abababababab","Repository":"base","Size":"72.8MB","Tag":"latest"}}"#
            ) + "\n"
        );
    }

    #[test]
    fn names_select() {
        let image: Reference = "me/app:1.0".parse().unwrap();
        for (name, expect) in [
            ("me/app", true),
            ("me/app:1.0", true),
            ("docker.io/me/app", true),
            ("me/app:2", false),
            ("app", false),
            ("localhost:5000/me/app", false),
        ] {
            assert_eq!(Filter::parse(name).unwrap().matches(&image), expect, "{name}");
        }
        assert!(Filter::parse("No").is_err());
    }
}
