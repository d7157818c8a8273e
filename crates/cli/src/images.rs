use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use dfbuild::{Engine, ImageSummary, Reference, Timestamp};
use serde::Serialize;

use crate::args::{ImagesArgs, ImagesFormat};
use crate::output::columns;
use crate::{output, units};

/// Lists the images of the store as `docker images` does.
pub(crate) fn run(args: &ImagesArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let filter = args.name.as_deref().map(Filter::parse).transpose()?;
    let now = SystemTime::now();
    let images = Engine::open(root)?.images()?;
    let wanted = images
        .iter()
        .filter(|image| filter.as_ref().is_none_or(|filter| filter.matches(&image.reference)));
    let rows: Vec<Row> = wanted.map(|image| Row::of(image, now)).collect();
    Ok(output::print(&render(&rows, args))?)
}

/// When something was made, in docker's words.
pub(crate) struct Created {
    pub(crate) at: String,
    pub(crate) since: String,
}

impl Created {
    pub(crate) fn of(time: Option<Timestamp>, now: SystemTime) -> Self {
        // What does not say when it was made has the zero time.
        let Some(time) = time.filter(|time| time.seconds() > 0) else {
            return Self { at: "N/A".to_owned(), since: "N/A".to_owned() };
        };
        let age: Duration = now.duration_since(time.system_time()).unwrap_or_default();
        Self { at: time.to_string(), since: format!("{} ago", units::human_duration(age)) }
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
        let created = Created::of(image.created, now);
        Self {
            created_at: created.at,
            created_since: created.since,
            digest: image.digest.to_string(),
            id: image.id.to_string(),
            repository: image.reference.familiar_name(),
            size: units::human_size(image.size),
            tag: image.reference.tag.clone().unwrap_or_else(|| NONE.to_owned()),
        }
    }

    fn shown_id(&self, no_trunc: bool) -> &str {
        if no_trunc { &self.id } else { output::short_id(&self.id) }
    }
}

fn render(rows: &[Row], args: &ImagesArgs) -> String {
    if args.quiet {
        return rows.iter().flat_map(|row| [row.shown_id(args.no_trunc), "\n"]).collect();
    }
    if args.format == ImagesFormat::Json {
        let rows = rows.iter().map(|row| {
            let id = row.shown_id(args.no_trunc).to_owned();
            Row { id, ..row.clone() }
        });
        return output::json_lines(rows).expect("text is always written to memory");
    }
    let header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
    let mut table = vec![header];
    table.extend(rows.iter().map(|row| {
        let id = row.shown_id(args.no_trunc);
        [row.repository.as_str(), &row.tag, id, &row.created_since, &row.size]
    }));
    columns(&table)
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
