use crate::error::{Error, Place};
use crate::fields::{fields, flag, pairs, word, words, wrong};
use crate::node::{Node, Value};

/// A service, as far as it has to do with images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// `image`.
    pub image: Option<String>,
    /// `build`.
    pub build: Option<BuildSection>,
    /// `platform`.
    pub platform: Option<String>,
    /// `profiles`: it counts only if one of them does. Without any it always counts.
    pub profiles: Vec<String>,
    /// Where it is.
    pub place: Place,
}

/// How an image is built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildSection {
    /// `context`: a folder relative to the project, or an address.
    pub context: String,
    /// `dockerfile`, relative to the context.
    pub dockerfile: Option<String>,
    /// `dockerfile_inline`.
    pub dockerfile_inline: Option<String>,
    /// `args`. One without a value has that of the variable of its name, if there is one.
    pub args: Vec<(String, Option<String>)>,
    /// `target`.
    pub target: Option<String>,
    /// `labels`.
    pub labels: Vec<(String, String)>,
    /// `secrets`.
    pub secrets: Vec<SecretUse>,
    /// `ssh`: `default`, or `ID=SOCKET`.
    pub ssh: Vec<String>,
    /// `additional_contexts`: folders, addresses, `docker-image://…`, `service:NAME`.
    pub additional_contexts: Vec<(String, String)>,
    /// `cache_from`.
    pub cache_from: Vec<String>,
    /// `cache_to`.
    pub cache_to: Vec<String>,
    /// `platforms`.
    pub platforms: Vec<String>,
    /// `tags`: further names of the image.
    pub tags: Vec<String>,
    /// `no_cache`.
    pub no_cache: bool,
    /// `no_cache_filter`: the stages that run although their results are known.
    pub no_cache_filter: Vec<String>,
    /// `pull`.
    pub pull: bool,
    /// `network`.
    pub network: Option<String>,
    /// `shm_size`, with its unit.
    pub shm_size: Option<String>,
    /// `extra_hosts`: names and addresses.
    pub extra_hosts: Vec<(String, String)>,
    /// `ulimits`: name, soft and hard limit.
    pub ulimits: Vec<(String, i64, i64)>,
    /// `entitlements`, and what `privileged` means.
    pub entitlements: Vec<String>,
    /// What is there and does not count, with its place.
    pub ignored: Vec<(Place, String)>,
}

/// A secret that a build may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUse {
    /// Its name at the top of the compose file.
    pub source: String,
    /// Its id in the Dockerfile.
    pub id: String,
}

impl Service {
    /// What the image is called: what `image` says, else project and service.
    pub fn image_name(&self, project: &str) -> String {
        self.image.clone().unwrap_or_else(|| format!("{project}-{}", self.name))
    }

    /// Whether it counts with these profiles; `*` are all.
    pub fn is_active(&self, profiles: &[String]) -> bool {
        let wanted = |profile: &String| profile == "*" || self.profiles.contains(profile);
        self.profiles.is_empty() || profiles.iter().any(wanted)
    }

    pub(crate) fn read(name: &str, node: &Node) -> Result<Self, Error> {
        let what = |field: &str| format!("services.{name}.{field}");
        fields(node, &format!("services.{name}"))?;
        let get_word = |field: &str| {
            let node = node.get(field).filter(|node| node.value != Value::Null);
            node.map(|node| word(node, &what(field))).transpose()
        };
        let build = node.get("build").filter(|build| build.value != Value::Null);
        let profiles = node.get("profiles").map(|node| words(node, &what("profiles")));
        Ok(Self {
            name: name.to_owned(),
            image: get_word("image")?.filter(|image| !image.is_empty()),
            build: build.map(|build| BuildSection::read(build, &what("build"))).transpose()?,
            platform: get_word("platform")?,
            profiles: profiles.transpose()?.unwrap_or_default(),
            place: node.place.clone(),
        })
    }
}

impl BuildSection {
    fn read(node: &Node, what: &str) -> Result<Self, Error> {
        let mut build = Self { context: ".".to_owned(), ..Self::default() };
        for (key, value) in fields(node, what)? {
            build.field(key, value, &format!("{what}.{key}"))?;
        }
        if build.dockerfile.is_some() && build.dockerfile_inline.is_some() {
            return Err(wrong(
                node,
                what,
                "with `dockerfile` or `dockerfile_inline`, not with both",
            ));
        }
        Ok(build)
    }

    fn field(&mut self, key: &str, node: &Node, what: &str) -> Result<(), Error> {
        if node.value == Value::Null {
            return Ok(());
        }
        match key {
            "context" => self.context = word(node, what)?,
            "dockerfile" => self.dockerfile = Some(word(node, what)?),
            "dockerfile_inline" => self.dockerfile_inline = Some(word(node, what)?),
            "args" => self.args = pairs(node, what, &['='])?,
            "target" => self.target = Some(word(node, what)?),
            "labels" => self.labels = with_values(node, what, &['='])?,
            "secrets" => self.secrets = secrets(node, what)?,
            "ssh" => {
                let agents = pairs(node, what, &['='])?.into_iter();
                let text = |(id, socket)| match socket {
                    Some(socket) => format!("{id}={socket}"),
                    None => id,
                };
                self.ssh = agents.map(text).collect();
            }
            "additional_contexts" => self.additional_contexts = with_values(node, what, &['='])?,
            "cache_from" => self.cache_from = words(node, what)?,
            "cache_to" => self.cache_to = words(node, what)?,
            "platforms" => self.platforms = words(node, what)?,
            "tags" => self.tags = words(node, what)?,
            "no_cache" => self.no_cache = flag(node, what)?,
            "no_cache_filter" => self.no_cache_filter = words(node, what)?,
            "pull" => self.pull = flag(node, what)?,
            "network" => self.network = Some(word(node, what)?),
            "shm_size" => self.shm_size = Some(word(node, what)?),
            "extra_hosts" => self.extra_hosts = with_values(node, what, &['=', ':'])?,
            "ulimits" => self.ulimits = ulimits(node, what)?,
            "entitlements" => self.entitlements.extend(words(node, what)?),
            "privileged" if flag(node, what)? => {
                self.entitlements.push("security.insecure".to_owned());
            }
            "isolation" | "provenance" | "sbom" => {
                self.ignored.push((node.place.clone(), what.to_owned()));
            }
            // What compose does not know is told of apart.
            _ => {}
        }
        Ok(())
    }
}

fn with_values(
    node: &Node,
    what: &str,
    separators: &[char],
) -> Result<Vec<(String, String)>, Error> {
    let pairs = pairs(node, what, separators)?.into_iter();
    Ok(pairs.map(|(name, value)| (name, value.unwrap_or_default())).collect())
}

/// Names, or mappings with `source` and `target`.
fn secrets(node: &Node, what: &str) -> Result<Vec<SecretUse>, Error> {
    let Value::List(items) = &node.value else { return Err(wrong(node, what, "a list")) };
    let secrets = items.iter().map(|item| {
        if let Value::Word(name) = &item.value {
            return Ok(SecretUse { source: name.clone(), id: name.clone() });
        }
        let get = |key: &str| item.get(key).map(|node| word(node, &format!("{what}.{key}")));
        let source =
            get("source").ok_or_else(|| wrong(item, what, "a name, or with `source`"))??;
        let id = get("target").transpose()?.unwrap_or_else(|| source.clone());
        Ok(SecretUse { source, id })
    });
    secrets.collect()
}

/// A number for both limits, or a mapping of `soft` and `hard`.
fn ulimits(node: &Node, what: &str) -> Result<Vec<(String, i64, i64)>, Error> {
    let limits = fields(node, what)?.iter().map(|(name, limit)| {
        let what = format!("{what}.{name}");
        let number = |node: &Node| {
            let number = word(node, &what)?.parse();
            number.map_err(|_| wrong(node, &what, "a number, or a mapping of `soft` and `hard`"))
        };
        let (soft, hard) = match (limit.get("soft"), limit.get("hard")) {
            (None, None) => (number(limit)?, number(limit)?),
            (soft, hard) => {
                let either = soft.or(hard).unwrap_or(limit);
                (number(soft.unwrap_or(either))?, number(hard.unwrap_or(either))?)
            }
        };
        Ok((name.clone(), soft, hard))
    });
    limits.collect()
}
