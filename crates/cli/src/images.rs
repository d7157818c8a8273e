use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use dfbuild::pattern::glob;
use dfbuild::{Engine, ImageSummary, Reference, Timestamp};
use serde::Serialize;

use crate::args::{ImagesArgs, ImagesFilter, ListFormat};
use crate::output::columns;
use crate::{output, units};

/// Lists the images of the store as `docker images` does.
pub(crate) fn run(args: &ImagesArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let references = args.filter.iter().filter_map(|filter| match filter {
        ImagesFilter::Reference(name) => Some(name.as_str()),
        _ => None,
    });
    let labels: Vec<_> = args.filter.iter().filter_map(label).collect();
    let names = args.name.as_deref().into_iter().chain(references);
    let none = args.filter.contains(&ImagesFilter::Dangling(true));
    let filters = names.map(Filter::parse).collect::<Result<Vec<_>, _>>()?;
    let now = SystemTime::now();
    let engine = Engine::open(root)?;
    let images = engine.images()?;
    let wanted = images.iter().filter(|image| {
        !none
            && filters.iter().all(|filter| filter.matches(&image.reference))
            && (labels.is_empty() || has_labels(&engine, image, &labels))
    });
    let rows: Vec<Row> = wanted.map(|image| Row::of(image, now)).collect();
    Ok(output::print(&render(rows, args)?)?)
}

/// The name of a label and its value, if one is wanted.
type Label<'a> = (&'a str, Option<&'a str>);

fn label(filter: &ImagesFilter) -> Option<Label<'_>> {
    match filter {
        ImagesFilter::Label(key, value) => Some((key, value.as_deref())),
        _ => None,
    }
}

fn has_labels(engine: &Engine, image: &ImageSummary, labels: &[Label<'_>]) -> bool {
    engine.inspect(&image.reference.to_string(), None).is_ok_and(|details| {
        let known = &details.config.config.labels;
        labels.iter().all(|(key, wanted)| {
            known.get(*key).is_some_and(|value| wanted.is_none_or(|wanted| wanted == value))
        })
    })
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

fn render(mut rows: Vec<Row>, args: &ImagesArgs) -> Result<String, Box<dyn std::error::Error>> {
    for row in &mut rows {
        row.id = row.shown_id(args.no_trunc).to_owned();
    }
    if args.quiet {
        return Ok(rows.iter().flat_map(|row| [row.id.as_str(), "\n"]).collect());
    }
    match &args.format {
        ListFormat::Json => return Ok(output::json_lines(rows)?),
        ListFormat::Template(template) => return output::templated(&rows, template, false),
        ListFormat::TableOf(template) => return output::templated(&rows, template, true),
        ListFormat::Table => {}
    }
    let mut table = vec![vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]];
    table.extend(rows.iter().map(|row| {
        vec![row.repository.as_str(), &row.tag, &row.id, &row.created_since, &row.size]
    }));
    if args.digests {
        let digests = rows.iter().map(|row| row.digest.as_str());
        for (line, digest) in table.iter_mut().zip(std::iter::once("DIGEST").chain(digests)) {
            line.insert(2, digest);
        }
    }
    Ok(columns(&table))
}

/// Which images are asked for.
enum Filter {
    /// Those of this name, with any tag if none is given.
    Name { reference: Reference, any_tag: bool },
    /// Those whose name, with or without the tag, matches (docker's `FamiliarMatch`).
    Pattern(String),
}

impl Filter {
    fn parse(name: &str) -> Result<Self, Box<dyn std::error::Error>> {
        if name.contains(['*', '?', '[']) {
            glob(name.as_bytes(), b"").map_err(|error| format!("`{name}`: {error}"))?;
            return Ok(Self::Pattern(name.to_owned()));
        }
        let last = name.rsplit('/').next().unwrap_or(name);
        let any_tag = !last.contains([':', '@']);
        Ok(Self::Name { reference: name.parse::<Reference>()?, any_tag })
    }

    fn matches(&self, image: &Reference) -> bool {
        match self {
            Self::Name { reference, any_tag } => {
                image.registry == reference.registry
                    && image.repository == reference.repository
                    && (*any_tag || image.tag == reference.tag)
            }
            Self::Pattern(pattern) => {
                let name = image.familiar_name();
                let tagged = format!("{name}:{}", image.tag.as_deref().unwrap_or_default());
                let matches = |name: &str| glob(pattern.as_bytes(), name.as_bytes()) == Ok(true);
                matches(&name) || matches(&tagged)
            }
        }
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

    fn args(line: &str) -> ImagesArgs {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: ImagesArgs,
        }
        let words = std::iter::once("images").chain(line.split_whitespace());
        <Line as clap::Parser>::parse_from(words).args
    }

    fn text(rows: &[Row], line: &str) -> String {
        render(rows.to_vec(), &args(line)).unwrap()
    }

    #[test]
    fn the_table_is_dockers() {
        let rows = [
            row("base", "latest", "2 minutes ago", "72.8MB"),
            row("registry.example/team/app", "1.0", "About an hour ago", "1.2GB"),
        ];
        assert_eq!(
            text(&rows, ""),
            "\
REPOSITORY                  TAG       IMAGE ID       CREATED             SIZE
base                        latest    abababababab   2 minutes ago       72.8MB
registry.example/team/app   1.0       abababababab   About an hour ago   1.2GB
"
        );
        assert_eq!(text(&[], ""), "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n");
    }

    #[test]
    fn ids_and_json() {
        let rows = [row("base", "latest", "2 minutes ago", "72.8MB")];
        assert_eq!(text(&rows, "-q"), "abababababab\n");
        let whole = format!("sha256:{}\n", "ab".repeat(32));
        assert_eq!(text(&rows, "-aq --no-trunc"), whole);
        let digest = format!("sha256:{}", "cd".repeat(32));
        assert_eq!(
            text(&rows, "--format json"),
            format!(
                r#"{{"CreatedAt":"2024-01-01T00:00:00Z","CreatedSince":"2 minutes ago","Digest":"{digest}","ID":"abababababab","Repository":"base","Size":"72.8MB","Tag":"latest"}}"#
            ) + "\n"
        );
    }

    #[test]
    fn templates_and_digests() {
        let rows = [row("base", "latest", "2 minutes ago", "72.8MB")];
        assert_eq!(text(&rows, "--format {{.Repository}}:{{.Tag}}"), "base:latest\n");
        let digests = text(&rows, "--digests");
        let head = digests.lines().next().unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(head[..3], ["REPOSITORY", "TAG", "DIGEST"]);
        assert!(digests.contains(&format!("sha256:{}   abababababab", "cd".repeat(32))));
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
            ("me/a*", true),
            ("me/app:1.?", true),
            ("me/app:[2-9]*", false),
            ("a*", false),
            ("*/*", true),
        ] {
            assert_eq!(Filter::parse(name).unwrap().matches(&image), expect, "{name}");
        }
        assert!(Filter::parse("No").is_err() && Filter::parse("a[").is_err());
    }
}
