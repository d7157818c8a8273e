use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Place};
use crate::extends::{Load, move_paths, move_secrets, resolve};
use crate::fields::{fields, word};
use crate::include;
use crate::interpolate::{Lookup, interpolate};
use crate::merge::{merge, normalise_service};
use crate::node::{Node, Value};
use crate::notice::{BUILD, Notice, SERVICE, TOP, unknown_keys};
use crate::service::Service;

/// A compose file: what it is called, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeFile {
    name: String,
    text: String,
}

impl ComposeFile {
    /// A file with this text. Its name is for messages.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// What compose files say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// `name`, else the one that was given.
    pub name: String,
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// The secrets at the top, by name.
    pub secrets: BTreeMap<String, SecretSource>,
    /// What was odd in the files.
    pub notices: Vec<Notice>,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretSource {
    /// `file`, relative to the project.
    File(String),
    /// `environment`: the name of a variable.
    Environment(String),
    /// `external`: somebody else has it.
    External,
}

impl Project {
    /// Reads compose files, of which the later ones go over the earlier ones.
    ///
    /// `lookup` knows the variables, `load` gives the text of a file that `extends` names, by its path
    /// relative to the project. `name` is what the project is called if no file says it.
    pub fn read(
        files: &[ComposeFile],
        name: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
        load: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, Error> {
        let texts: Vec<_> =
            files.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
        let unset = RefCell::new(Vec::new());
        let lookup = Lookup { get: lookup, notices: &unset };
        let whole = read_all(&texts, Path::new(""), lookup, load, 0)?;
        fields(&whole, "a compose file")?;
        let mut notices = unset.take();
        unknown_keys(&whole, "", TOP, &mut notices);
        let own_name = whole.get("name").map(|node| word(node, "name")).transpose()?;
        let mut services = BTreeMap::new();
        if let Some(node) = whole.get("services") {
            for (name, service) in fields(node, "services")? {
                unknown_keys(service, &format!("services.{name}."), SERVICE, &mut notices);
                if let Some(build) = service.get("build") {
                    let what = format!("services.{name}.build.");
                    unknown_keys(build, &what, BUILD, &mut notices);
                }
                services.insert(name.clone(), Service::read(name, service)?);
            }
        }
        let mut secrets = BTreeMap::new();
        if let Some(node) = whole.get("secrets") {
            for (name, secret) in fields(node, "secrets")? {
                secrets.insert(name.clone(), secret_source(name, secret)?);
            }
        }
        let name = own_name.unwrap_or_else(|| name.to_owned());
        let project = Self { name, services, secrets, notices };
        project.check_secrets()?;
        project.check_contexts(&whole)?;
        Ok(project)
    }

    fn check_secrets(&self) -> Result<(), Error> {
        for service in self.services.values() {
            let used = service.build.iter().flat_map(|build| &build.secrets);
            for secret in used {
                if !self.secrets.contains_key(&secret.source) {
                    let reason = format!(
                        "service {} uses the secret {}, which is not under `secrets`",
                        service.name, secret.source
                    );
                    return Err(Error::Unknown { place: service.place.clone(), reason });
                }
            }
        }
        Ok(())
    }

    /// Looks whether services have those for contexts that there are.
    fn check_contexts(&self, whole: &Node) -> Result<(), Error> {
        for service in self.services.keys() {
            let node = whole.get("services").and_then(|services| services.get(service));
            let contexts = node.and_then(|node| node.get("build")?.get("additional_contexts"));
            let Some(Value::Map(contexts)) = contexts.map(|node| &node.value) else { continue };
            for (_, context) in contexts {
                let Value::Word(word) = &context.value else { continue };
                let Some(name) = word.strip_prefix("service:") else { continue };
                if !self.services.contains_key(name) {
                    return Err(Error::UnknownService {
                        place: context.place.clone(),
                        service: service.clone(),
                        name: name.to_owned(),
                        known: self.services.keys().cloned().collect(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// A name as compose makes it of a folder's: small letters, digits, dashes and underscores, of which
/// the first two kinds can begin it.
pub fn normalised_name(folder: &str) -> String {
    let lower = folder.to_lowercase();
    let kept = lower.chars().filter(|letter| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_')
    });
    kept.skip_while(|letter| matches!(letter, '-' | '_')).collect()
}

/// Reads files, by name and text, of which the later ones go over the earlier ones, with those that they
/// include beneath. Paths in them begin at `folder`, relative to the project.
pub(crate) fn read_all(
    files: &[(String, String)],
    folder: &Path,
    lookup: Lookup<'_>,
    load: Load<'_>,
    depth: usize,
) -> Result<Node, Error> {
    let place = Place { file: String::new(), line: 0, column: 0 };
    let mut whole = Node::new(Value::Null, place);
    let mut included = Vec::new();
    for (name, text) in files {
        let mut node = Node::parse(name, text)?;
        interpolate(&mut node, lookup)?;
        included.extend(include::take(&mut node, folder, lookup, load, depth)?);
        extend_services(&mut node, folder, lookup, load)?;
        merge(&mut whole, node);
    }
    move_all(&mut whole, folder);
    for mut base in included {
        if let Some((name, place)) = service_of_both(&base, &whole) {
            let reason = format!("service {name} is in an included file as well");
            return Err(Error::Unknown { place, reason });
        }
        merge(&mut base, whole);
        whole = base;
    }
    Ok(whole)
}

/// A service that both have: compose refuses to guess which one is meant.
fn service_of_both(included: &Node, own: &Node) -> Option<(String, Place)> {
    let (theirs, ours) = (included.get("services")?, own.get("services")?);
    let Value::Map(fields) = &ours.value else { return None };
    let both = fields.iter().find(|(name, _)| theirs.get(name).is_some());
    both.map(|(name, node)| (name.clone(), node.place.clone()))
}

/// Lets the paths of services and secrets begin at `folder`.
fn move_all(whole: &mut Node, folder: &Path) {
    let Value::Map(sections) = &mut whole.value else { return };
    for (key, section) in sections {
        let Value::Map(parts) = &mut section.value else { continue };
        for (_, part) in parts {
            match key.as_str() {
                "services" => move_paths(part, folder),
                "secrets" => move_secrets(part, folder),
                _ => {}
            }
        }
    }
}

fn extend_services(
    file: &mut Node,
    folder: &Path,
    lookup: Lookup<'_>,
    load: Load<'_>,
) -> Result<(), Error> {
    let Value::Map(sections) = &mut file.value else { return Ok(()) };
    let Some((_, services)) = sections.iter_mut().find(|(key, _)| key == "services") else {
        return Ok(());
    };
    let Value::Map(all) = &mut services.value else { return Ok(()) };
    for (_, service) in all {
        normalise_service(service);
    }
    let known = services.clone();
    let Value::Map(all) = &mut services.value else { return Ok(()) };
    for (_, service) in all {
        *service = resolve(service.clone(), &known, folder, lookup, load, 0)?;
    }
    Ok(())
}

fn secret_source(name: &str, node: &Node) -> Result<SecretSource, Error> {
    let get = |key: &str| node.get(key).map(|node| word(node, &format!("secrets.{name}.{key}")));
    if let Some(file) = get("file").transpose()? {
        return Ok(SecretSource::File(file));
    }
    if let Some(variable) = get("environment").transpose()? {
        return Ok(SecretSource::Environment(variable));
    }
    Ok(SecretSource::External)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[&str]) -> Result<Project, String> {
        let files: Vec<_> = files
            .iter()
            .zip(["compose.yml", "override.yml"])
            .map(|(text, name)| ComposeFile::new(name, *text))
            .collect();
        let lookup = |name: &str| (name == "TAG").then(|| "7".to_owned());
        let load = |path: &str| {
            match path {
            "shared/base.yml" => Ok("services:\n  base:\n    build: {context: app, args: [A=1]}\n    extends: {service: root}\n  root:\n    build: {context: other, target: root}\n".to_owned()),
            _ => Err("no such file".to_owned()),
        }
        };
        Project::read(&files, "dir", &lookup, &load).map_err(|error| error.to_string())
    }

    fn build(project: &Project, service: &str) -> BuildSection {
        project.services[service].build.clone().unwrap_or_else(|| panic!("{service} is not built"))
    }

    use crate::service::{BuildSection, SecretUse};

    #[test]
    fn forms_of_a_build() {
        let project = read(&["
name: shop
x-args: &args
  A: 1
  B:
services:
  db: {image: 'postgres:12'}
  web: {build: ./web, image: 'shop/web:${TAG}'}
  api:
    platform: linux/amd64
    profiles: [dev]
    build:
      context: .
      dockerfile: Dockerfile.api
      args: {<<: *args, C: x=y}
      target: prod
      labels: [a=b, c]
      secrets: [token, {source: key, target: id}]
      ssh: [default, k=/s]
      additional_contexts: {base: 'service:web', files: ../files}
      cache_from: ['r/c:1', 'type=local,src=c']
      platforms: [linux/amd64]
      tags: [shop/api:x]
      no_cache: true
      no_cache_filter: [test, lint]
      extra_hosts: ['a:1.2.3.4', 'b=::1']
      ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}
      shm_size: 64m
      privileged: true
      provenance: false
secrets:
  token: {environment: TOKEN}
  key: {file: ./key}
"])
        .unwrap();
        assert_eq!(project.name, "shop");
        assert!(project.services["db"].build.is_none());
        assert_eq!(build(&project, "web").context, "./web");
        assert_eq!(project.services["web"].image_name("shop"), "shop/web:7");
        let service = &project.services["api"];
        assert_eq!(service.image_name(&project.name), "shop-api");
        assert!(!service.is_active(&[]) && service.is_active(&["dev".to_owned()]));
        assert!(service.is_active(&["*".to_owned()]));
        let api = build(&project, "api");
        let args: BTreeMap<_, _> = api.args.iter().cloned().collect();
        assert_eq!(args["A"].as_deref(), Some("1"));
        assert_eq!(args["B"], None);
        assert_eq!(args["C"].as_deref(), Some("x=y"));
        assert_eq!(api.labels, [("a".into(), "b".into()), ("c".into(), String::new())]);
        let secret = |source: &str, id: &str| SecretUse { source: source.into(), id: id.into() };
        assert_eq!(api.secrets, [secret("token", "token"), secret("key", "id")]);
        assert_eq!(api.ssh, ["default", "k=/s"]);
        assert_eq!(api.additional_contexts[0], ("base".to_owned(), "service:web".to_owned()));
        assert_eq!(api.extra_hosts[1], ("b".to_owned(), "::1".to_owned()));
        assert_eq!(api.ulimits, [("nofile".to_owned(), 5, 5), ("nproc".to_owned(), 1, 2)]);
        assert_eq!(api.entitlements, ["security.insecure"]);
        assert_eq!(api.ignored[0].1, "services.api.build.provenance");
        assert!(api.no_cache && !api.pull);
        assert_eq!(api.no_cache_filter, ["test", "lint"]);
        assert_eq!(project.secrets["key"], SecretSource::File("./key".to_owned()));
    }

    #[test]
    fn one_file_over_another() {
        let project = read(&[
            "services:\n  web:\n    build: ./web\n    image: a\n  old: {image: o}\n",
            "services:\n  web:\n    build: {args: [X=1], cache_from: [c]}\n    image: b\n",
        ])
        .unwrap();
        let web = build(&project, "web");
        assert_eq!(
            (web.context.as_str(), project.services["web"].image.as_deref()),
            ("./web", Some("b"))
        );
        assert_eq!(web.args, [("X".to_owned(), Some("1".to_owned()))]);
        assert_eq!(project.name, "dir");
        let args = |list: &str| format!("services: {{web: {{build: {{args: {list}}}}}}}");
        let project = read(&[&args("[A=1, B=2]"), &args("{B: 3}")]).unwrap();
        let expect =
            [("A".to_owned(), Some("1".to_owned())), ("B".to_owned(), Some("3".to_owned()))];
        assert_eq!(build(&project, "web").args, expect);
    }

    #[test]
    fn services_that_extend_others() {
        let project = read(&["
services:
  base: {build: {context: b, args: {A: 1}}}
  one: {extends: base, build: {args: {B: 2}}}
  two: {extends: {service: base, file: shared/base.yml}, image: two}
"])
        .unwrap();
        let one = build(&project, "one");
        assert_eq!((one.context.as_str(), one.args.len()), ("b", 2));
        let two = build(&project, "two");
        assert_eq!((two.context.as_str(), two.target.as_deref()), ("shared/app", Some("root")));
        for (text, expect) in [
            ("services: {a: {extends: b}, b: {extends: a}}", "extend each other in a circle"),
            ("services: {a: {extends: b}}", "compose.yml:1:25: there is no service `b` to extend"),
            ("services: {a: {extends: {service: b, file: x.yml}}}", "x.yml: no such file"),
        ] {
            let error = read(&[text]).unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn what_is_wrong() {
        for (text, expect) in [
            ("services: [a]", "read compose.yml:1:11: services must be a mapping"),
            (
                "services: {a: {build: {args: x}}}",
                "services.a.build.args must be a mapping, or a list",
            ),
            ("services: {a: {build: {no_cache: maybe}}}", "no_cache must be true or false"),
            (
                "services: {a: {build: {secrets: [s]}}}",
                "service a uses the secret s, which is not under",
            ),
            ("services: {a: {image: '${X:?set X}'}}", "X has no value: set X"),
            ("services: {a: {build: {dockerfile: a, dockerfile_inline: b}}}", "not with both"),
            (
                "services:\n  a:\n   image: x\n  a: {}\n",
                "compose.yml:4:3: the key `a` is there twice",
            ),
            (
                "services:\n  a:\n    build:\n      additional_contexts:\n        b: service:bb\n",
                "compose.yml:5:12: a has the image of the service `bb` for a context, which is not there",
            ),
        ] {
            let error = read(&[text]).unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_odd() {
        let text = "x-a: $UNSET\nservice: {}\nservices:\n  a:\n    biuld:\n      context: .\n    image: 'x:${TAG}${UNSET}'\n    x-b: 1\n  b: {command: '${UNSET-}${OTHER:+x}', cpus: 2}\n  c: {build: {contxt: ., sbom: true}}\n";
        let found: Vec<String> = read(&[text, "services: {b: {container_nme: x}}\n"])
            .unwrap()
            .notices
            .iter()
            .map(|notice| match notice {
                Notice::Unset { place, name } => format!("{place} ${name}"),
                Notice::UnknownKey { place, what, .. } => format!("{place} {what}"),
            })
            .collect();
        assert_eq!(
            found,
            [
                "compose.yml:1:6 $UNSET",
                "compose.yml:2:1 service",
                "compose.yml:5:5 services.a.biuld",
                "override.yml:1:16 services.b.container_nme",
                "compose.yml:10:15 services.c.build.contxt",
            ]
        );
    }

    #[test]
    fn names_of_folders() {
        for (folder, name) in [("My App", "myapp"), ("_x-1", "x-1"), ("ä", ""), ("a_b", "a_b")] {
            assert_eq!(normalised_name(folder), name);
        }
    }
}
