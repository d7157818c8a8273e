use std::collections::BTreeMap;

use dfbuild_image::{Digest, ImageConfig, TreePath, digest_of};
use serde_json::Value;

use super::files::{differences, first_difference, is_more_than_time};
use super::{Difference, DifferentPart, FileDifference};
use crate::build::Built;
use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::images::layer_ref::LayerRef;
use crate::images::local::LocalPlatform;
use crate::images::rootfs::Rootfs;

/// What two builds made, each with where it is.
pub(crate) fn compare(
    first: (&Engine, &Built),
    second: (&Engine, &Built),
) -> Result<Option<Difference>, Error> {
    if first.1.descriptor == second.1.descriptor {
        return Ok(None);
    }
    let images = |(engine, built): (&Engine, &Built)| engine.local_platforms(&built.descriptor);
    for (one, other) in images(first)?.iter().zip(&images(second)?) {
        let pair = Pair { engines: [first.0, second.0], images: [one, other] };
        let part = pair.difference().map_err(|error| Error::image("of this build", error))?;
        if let Some(part) = part {
            return Ok(Some(Difference { platform: one.config.platform(), part }));
        }
    }
    // The manifests are the same, but not what names them.
    let digest = |built: &Built| digest_of(&built.descriptor).expect("it was made here");
    let part = DifferentPart::Manifest { first: digest(first.1), second: digest(second.1) };
    let platform = first.1.platforms.first().cloned().unwrap_or_else(dfbuild_image::Platform::host);
    Ok(Some(Difference { platform, part }))
}

/// Two images of one platform.
struct Pair<'a> {
    engines: [&'a Engine; 2],
    images: [&'a LocalPlatform; 2],
}

/// The entries that differ in a layer.
type Differing = BTreeMap<TreePath, Vec<FileDifference>>;

impl Pair<'_> {
    fn difference(&self) -> Result<Option<DifferentPart>, StepError> {
        let [first, second] = self.images.map(|image| digest_of(&image.manifest));
        let (Some(first), Some(second)) = (first, second) else { return Ok(None) };
        if first == second {
            return Ok(None);
        }
        if let Some(part) = self.in_layers()? {
            return Ok(Some(part));
        }
        let [one, other] = self.images.map(|image| json(&image.config));
        let configuration = in_json("", &one, &other);
        Ok(Some(configuration.unwrap_or(DifferentPart::Manifest { first, second })))
    }

    /// The first file that differs in more than its time, else the first that does in that.
    fn in_layers(&self) -> Result<Option<DifferentPart>, StepError> {
        let [ones, others] = self.images.map(|image| &image.config.rootfs.diff_ids);
        if ones.len() != others.len() {
            return Ok(Some(DifferentPart::Layers { first: ones.len(), second: others.len() }));
        }
        let mut in_time = None;
        for at in (0..ones.len()).filter(|at| ones[*at] != others[*at]) {
            let indexes = (self.engines[0].index(&ones[at])?, self.engines[1].index(&others[at])?);
            let found = differences(&indexes.0, &indexes.1);
            if found.is_empty() {
                let created_by = self.created_by(at);
                in_time.get_or_insert(DifferentPart::Archive { layer: at + 1, created_by });
            } else if found.values().any(|changes| is_more_than_time(changes)) {
                return Ok(Some(self.file(at, found)));
            } else {
                in_time.get_or_insert_with(|| self.file(at, found));
            }
        }
        Ok(in_time)
    }

    fn file(&self, at: usize, found: Differing) -> DifferentPart {
        let others = found.len() - 1;
        let mut found: Vec<_> = found.into_iter().collect();
        let chosen = found.iter().position(|(_, changes)| is_more_than_time(changes));
        let (path, mut changes) = found.swap_remove(chosen.unwrap_or(0));
        for change in &mut changes {
            if let FileDifference::Content { offset } = change {
                *offset = self.offset(at, &path);
            }
        }
        DifferentPart::File {
            layer: at + 1,
            layers: self.images[0].config.rootfs.diff_ids.len(),
            created_by: self.created_by(at),
            path: path.to_string(),
            changes,
            others,
        }
    }

    /// The first byte that differs of a file in a layer. That it differs is known without it.
    fn offset(&self, at: usize, path: &TreePath) -> Option<u64> {
        let files = [0, 1].map(|which| {
            let diff_ids = &self.images[which].config.rootfs.diff_ids[..=at];
            rootfs(self.engines[which], diff_ids).and_then(|rootfs| rootfs.open(path).ok())
        });
        let [Some(one), Some(other)] = files else { return None };
        first_difference(one, other).ok()?
    }

    /// The line of the history that made a layer.
    fn created_by(&self, at: usize) -> String {
        let history = self.images[0].config.history.iter().filter(|line| !line.empty_layer);
        history.map(|line| line.created_by.clone()).nth(at).unwrap_or_default()
    }
}

fn rootfs<'e>(engine: &'e Engine, diff_ids: &[Digest]) -> Option<Rootfs<'e>> {
    let layers = diff_ids.iter().map(|diff_id| {
        let content_id = engine.content_id(diff_id).ok()?;
        Some(LayerRef { diff_id: *diff_id, content_id, clock: None, blob: None, step: None })
    });
    Some(Rootfs::new(engine, layers.collect::<Option<_>>()?))
}

fn json(config: &ImageConfig) -> Value {
    serde_json::from_slice(&config.to_json()).unwrap_or_default()
}

/// The first value that differs.
fn in_json(field: &str, one: &Value, other: &Value) -> Option<DifferentPart> {
    match (one, other) {
        (one, other) if one == other => None,
        (Value::Object(ones), Value::Object(others)) => {
            let names: std::collections::BTreeSet<&String> =
                ones.keys().chain(others.keys()).collect();
            names.into_iter().find_map(|name| {
                let field = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                in_json(
                    &field,
                    ones.get(name).unwrap_or(&Value::Null),
                    others.get(name).unwrap_or(&Value::Null),
                )
            })
        }
        (Value::Array(ones), Value::Array(others)) if ones.len() == others.len() => ones
            .iter()
            .zip(others)
            .enumerate()
            .find_map(|(at, (one, other))| in_json(&format!("{field}[{at}]"), one, other)),
        (one, other) => Some(DifferentPart::Configuration {
            field: field.to_owned(),
            first: text(one),
            second: text(other),
        }),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_field_of_a_configuration_is_named() {
        let check = |one: Value, other: Value, expect: (&str, &str, &str)| {
            let found = in_json("", &one, &other);
            let Some(DifferentPart::Configuration { field, first, second }) = found else {
                panic!("{found:?}")
            };
            assert_eq!((field.as_str(), first.as_str(), second.as_str()), expect);
        };
        check(json!({"created": "x"}), json!({"created": "y"}), ("created", "x", "y"));
        check(
            json!({"history": [{}, {"created": 1}]}),
            json!({"history": [{}, {"created": 2}]}),
            ("history[1].created", "1", "2"),
        );
        check(json!({}), json!({"a": {"b": true}}), ("a", "null", "{\"b\":true}"));
        assert_eq!(in_json("", &json!({"a": [1]}), &json!({"a": [1]})), None);
    }
}
