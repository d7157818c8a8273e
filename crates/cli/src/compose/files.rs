use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use dfbuild::dockerfile::suggest;
use dfbuild_compose::{ComposeFile, Error, Notice, Project, env_file, normalised_name};

use crate::args::ComposeArgs;

/// The compose files of a project, read.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) project: Project,
    /// Where its paths begin.
    pub(super) folder: PathBuf,
    /// The names of its files.
    pub(super) names: String,
    /// What `.env` sets; the environment comes first.
    variables: HashMap<String, String>,
}

/// The names of a compose file, in the order in which compose looks for them.
const NAMES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

impl Files {
    /// Reads the files that the arguments name, or finds them.
    pub(super) fn read(
        args: &ComposeArgs,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let paths = paths(args, environment)?;
        let own_folder = paths[0].parent().map_or_else(PathBuf::new, Path::to_owned);
        let folder = args.project_directory.clone().unwrap_or(own_folder);
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let variables = variables(args, &folder, environment)?;
        let lookup = |name: &str| environment(name).or_else(|| variables.get(name).cloned());
        let mut files = Vec::new();
        for path in &paths {
            files.push(ComposeFile::new(path.display().to_string(), read(path)?));
        }
        let load =
            |path: &str| fs::read_to_string(folder.join(path)).map_err(|error| error.to_string());
        let name = match &args.project_name {
            Some(name) => name.clone(),
            None => lookup("COMPOSE_PROJECT_NAME").unwrap_or_default(),
        };
        let by_folder = if name.is_empty() { folder_name(&folder) } else { name.clone() };
        let project = Project::read(&files, &by_folder, &lookup, &load);
        let mut project = project.map_err(|error| explained(&error))?;
        // What is given goes before what the file says.
        if !name.is_empty() {
            project.name = name;
        }
        if project.name.is_empty() {
            return Err("the project has no name: give one with -p".to_owned());
        }
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        Ok(Self { project, folder, names: names.join(", "), variables })
    }

    /// The value of a variable for builds.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().or_else(|| self.variables.get(name).cloned())
    }
}

/// An error with what was likely meant.
fn explained(error: &Error) -> String {
    let meant = match error {
        Error::UnknownService { name, known, .. } => {
            did_you_mean(name, known.iter().map(String::as_str))
        }
        _ => String::new(),
    };
    format!("{error}{meant}")
}

/// What somebody should know who wrote a compose file.
pub(super) fn text(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::Unset { place, name } => {
            format!("{place}: the variable {name} is not set, defaulting to a blank string")
        }
        Notice::UnknownKey { place, what, key, known } => {
            let meant = did_you_mean(key, known.iter().copied());
            format!("{place}: {what} does not count, compose knows no such key{meant}")
        }
        _ => return None,
    })
}

/// The end of a sentence on a name that is not there.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let close = suggest::closest(name, known);
    close.map(|close| format!("; did you mean `{close}`?")).unwrap_or_default()
}

fn read(path: &Path) -> Result<String, String> {
    if path == Path::new("-") {
        let text = io::read_to_string(io::stdin());
        return text.map_err(|error| format!("read standard input: {error}"));
    }
    fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))
}

/// The name that a folder gives a project.
fn folder_name(folder: &Path) -> String {
    let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    normalised_name(&absolute.file_name().unwrap_or_default().to_string_lossy())
}

fn paths(
    args: &ComposeArgs,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<PathBuf>, String> {
    if !args.file.is_empty() {
        return Ok(args.file.clone());
    }
    if let Some(list) = environment("COMPOSE_FILE").filter(|list| !list.is_empty()) {
        let separator = environment("COMPOSE_PATH_SEPARATOR").unwrap_or_else(|| ":".to_owned());
        return Ok(list.split(separator.as_str()).map(PathBuf::from).collect());
    }
    let begin = args.project_directory.clone().unwrap_or_default();
    let here =
        std::path::absolute(if begin.as_os_str().is_empty() { Path::new(".") } else { &begin });
    let here = here.map_err(|error| format!("find the current folder: {error}"))?;
    for folder in here.ancestors() {
        let found = NAMES.iter().find(|name| folder.join(name).is_file());
        let Some(name) = found else { continue };
        // As it is called from here, if it is here.
        let folder = if folder == here { begin } else { folder.to_owned() };
        let stem = name.split_once('.').map_or(*name, |(stem, _)| stem);
        let mut paths = vec![folder.join(name)];
        let overrides = ["yaml", "yml"].map(|end| folder.join(format!("{stem}.override.{end}")));
        paths.extend(overrides.into_iter().find(|path| path.is_file()));
        return Ok(paths);
    }
    Err(format!("there is no {} here or above; -f FILE names one", NAMES.join(", ")))
}

/// What the environment files set.
fn variables(
    args: &ComposeArgs,
    folder: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<HashMap<String, String>, String> {
    let mut variables = HashMap::new();
    let default = folder.join(".env");
    let paths = match args.env_file.as_slice() {
        [] if default.is_file() => vec![default],
        given => given.to_vec(),
    };
    for path in paths {
        let lookup = |name: &str| environment(name).or_else(|| variables.get(name).cloned());
        let set = env_file::parse(&path.display().to_string(), &read(&path)?, &lookup);
        variables.extend(set.map_err(|error| error.to_string())?);
    }
    Ok(variables)
}
