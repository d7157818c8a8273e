use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use dfbuild::{Difference, DifferentPart, FileDifference, Timestamp, Verification};

use crate::args::BuildArgs;
use crate::{build, report};

/// Builds twice and tells whether the same came out.
pub(crate) fn run(args: &BuildArgs, root: PathBuf, debug: bool) -> ExitCode {
    build::begin(args, root, debug, |loaded, begun| {
        let verification = loaded.verify(begun)?;
        begun.progress.close();
        begun.show_findings();
        let has_epoch = std::env::var_os("SOURCE_DATE_EPOCH").is_some();
        let text = describe(&verification, has_epoch);
        Ok(match io::stdout().lock().write_all(text.as_bytes()) {
            Ok(()) if verification.difference.is_none() => ExitCode::SUCCESS,
            Ok(()) => ExitCode::FAILURE,
            Err(error) => report::error(&format!("write to standard output: {error}")),
        })
    })
}

fn describe(verification: &Verification, has_epoch: bool) -> String {
    let Some(difference) = &verification.difference else {
        let digest = verification.first.descriptor.digest();
        return format!("reproducible: two builds made {digest}\n");
    };
    let several = verification.first.platforms.len() > 1;
    let platform = if several { format!(" for {}", difference.platform) } else { String::new() };
    let mut text = format!("not reproducible{platform}: {}\n", part(difference));
    text.push_str(&format!("hint: {}\n", hint(difference, has_epoch)));
    text
}

fn part(difference: &Difference) -> String {
    match &difference.part {
        DifferentPart::File { layer, layers, created_by, path, changes, others } => {
            let changes: Vec<String> = changes.iter().map(change).collect();
            let others = match others {
                0 => String::new(),
                1 => "\n  and 1 other file of the layer".to_owned(),
                _ => format!("\n  and {others} other files of the layer"),
            };
            format!(
                "layer {layer} of {layers}, {created_by}\n  {path}: {}{others}",
                changes.join(", ")
            )
        }
        DifferentPart::Archive { layer, created_by } => {
            format!("layer {layer}, {created_by}: the archive, though its files are the same")
        }
        DifferentPart::Layers { first, second } => {
            format!("the first image has {first} layers, the second {second}")
        }
        DifferentPart::Configuration { field, first, second } => {
            format!("configuration\n  {field}: {first} and {second}")
        }
        DifferentPart::Manifest { first, second } => format!("manifest: {first} and {second}"),
        _ => "something else".to_owned(),
    }
}

fn change(change: &FileDifference) -> String {
    match change {
        FileDifference::OnlyInFirst => "only in the first image".to_owned(),
        FileDifference::OnlyInSecond => "only in the second image".to_owned(),
        FileDifference::Kind { first, second } => format!("a {first} and a {second}"),
        FileDifference::Size { first, second } => format!("size {first} and {second} bytes"),
        FileDifference::Content { offset: Some(offset) } => {
            format!("content from byte {offset} on")
        }
        FileDifference::Content { offset: None } => "content".to_owned(),
        FileDifference::Target { first, second } => format!("target {first} and {second}"),
        FileDifference::Mode { first, second } => format!("mode {first:04o} and {second:04o}"),
        FileDifference::Owner { first, second } => {
            format!("owner {}:{} and {}:{}", first.0, first.1, second.0, second.1)
        }
        FileDifference::Capability => "capabilities".to_owned(),
        FileDifference::Time { first, second } => {
            format!("time {} and {}", time(*first), time(*second))
        }
        _ => "something else".to_owned(),
    }
}

fn time(seconds: i64) -> String {
    Timestamp::from_seconds(seconds).to_string()
}

/// What can be done about a difference.
fn hint(difference: &Difference, has_epoch: bool) -> &'static str {
    let is_time = match &difference.part {
        DifferentPart::File { changes, .. } => {
            changes.iter().all(|change| matches!(change, FileDifference::Time { .. }))
        }
        DifferentPart::Configuration { field, .. } => field.ends_with("created"),
        _ => false,
    };
    match (is_time, has_epoch) {
        (true, false) => {
            "set SOURCE_DATE_EPOCH, for example to the time of the last commit: \
             SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)"
        }
        (true, true) => {
            "the time is not one of the clock: a command set it, or -o with \
             rewrite-timestamp=true would clamp it"
        }
        (false, false) => {
            "what the step writes depends on the clock, on chance, on the network or on an order; \
             SOURCE_DATE_EPOCH is not set, which many programs take for the time"
        }
        (false, true) => {
            "what the step writes depends on the clock, on chance, on the network or on an order"
        }
    }
}

#[cfg(test)]
mod tests {
    use dfbuild::Platform;

    use super::*;

    fn file(changes: Vec<FileDifference>, others: usize) -> Difference {
        Difference {
            platform: Platform::host(),
            part: DifferentPart::File {
                layer: 2,
                layers: 3,
                created_by: "RUN date > /now".to_owned(),
                path: "/now".to_owned(),
                changes,
                others,
            },
        }
    }

    #[test]
    fn a_file_is_named_with_all_that_differs() {
        let changes = vec![
            FileDifference::Size { first: 1, second: 2 },
            FileDifference::Content { offset: Some(7) },
            FileDifference::Mode { first: 0o644, second: 0o4755 },
            FileDifference::Owner { first: (0, 0), second: (5, 6) },
            FileDifference::Time { first: 0, second: 60 },
        ];
        assert_eq!(
            part(&file(changes, 2)),
            "layer 2 of 3, RUN date > /now\n  /now: size 1 and 2 bytes, content from byte 7 on, \
             mode 0644 and 4755, owner 0:0 and 5:6, time 1970-01-01T00:00:00Z and \
             1970-01-01T00:01:00Z\n  and 2 other files of the layer"
        );
    }

    #[test]
    fn times_have_a_remedy() {
        let time = file(vec![FileDifference::Time { first: 0, second: 1 }], 0);
        assert!(hint(&time, false).starts_with("set SOURCE_DATE_EPOCH"));
        assert!(hint(&time, true).contains("rewrite-timestamp"));
        let content = file(vec![FileDifference::Content { offset: None }], 0);
        assert!(hint(&content, true).contains("on chance"));
        let created = DifferentPart::Configuration {
            field: "history[1].created".to_owned(),
            first: "x".to_owned(),
            second: "y".to_owned(),
        };
        let created = Difference { part: created, ..content };
        assert_eq!(part(&created), "configuration\n  history[1].created: x and y");
        assert!(hint(&created, false).starts_with("set SOURCE_DATE_EPOCH"));
    }
}
