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
    /// The profiles that count.
    pub(super) profiles: Vec<String>,
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
        // `.env` may name the files; another one beside them sets what the first one does not.
        let begin = project_folder(args, &args.file);
        let mut variables = variables(args, &begin, environment)?;
        let lookup = |name: &str| environment(name).or_else(|| variables.get(name).cloned());
        let paths = paths(args, &lookup)?;
        let folder = project_folder(args, &paths);
        if folder != begin && args.env_file.is_empty() {
            let mut beside = self::variables(args, &folder, &lookup)?;
            beside.extend(variables);
            variables = beside;
        }
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
        if normalised_name(&project.name) != project.name {
            return Err(format!(
                "invalid project name `{}`: it is made of lower-case letters, digits, dashes and \
                 underscores, and begins with a letter or a digit",
                project.name
            ));
        }
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let profiles = match args.profile.as_slice() {
            [] => lookup("COMPOSE_PROFILES").unwrap_or_default(),
            given => given.join(","),
        };
        let profiles = profiles.split(',').map(|name| name.trim().to_owned()).collect();
        Ok(Self { project, folder, names: names.join(", "), profiles, variables })
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

/// Where the paths of a project begin that has these files.
fn project_folder(args: &ComposeArgs, files: &[PathBuf]) -> PathBuf {
    let own = || files.first().and_then(|file| file.parent()).map(Path::to_owned);
    let folder = args.project_directory.clone().or_else(own).unwrap_or_default();
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};

    fn files(words: &[&str], environment: &[(&str, &str)]) -> Result<Files, String> {
        let words = ["dfbuild", "compose"].iter().chain(words).map(std::ffi::OsString::from);
        let Command::Compose(args) = Cli::read(words).unwrap().command else { panic!() };
        let value = |name: &str| environment.iter().find(|(it, _)| *it == name);
        Files::read(&args, &|name| value(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn what_env_files_say_of_the_project() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().to_str().unwrap();
        let write = |name: &str, text: &str| fs::write(temp.path().join(name), text).unwrap();
        write("a.yml", "services: {a: {build: ., image: '$TAG'}}\n");
        write("b.yml", "services: {b: {build: .}}\n");
        let set = format!("COMPOSE_FILE={folder}/a.yml,{folder}/b.yml\nCOMPOSE_PATH_SEPARATOR=,\n");
        write(".env", &format!("{set}COMPOSE_PROFILES=x, y\nCOMPOSE_PROJECT_NAME=shop\nTAG=7\n"));
        let there = ["--project-directory", folder];
        let found = files(&there, &[]).unwrap();
        assert_eq!(found.project.services.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found.project.services["a"].image.as_deref(), Some("7"));
        assert_eq!(
            (found.project.name.as_str(), found.profiles),
            ("shop", vec!["x".into(), "y".into()])
        );
        // The environment and flags come first.
        let one = format!("{folder}/b.yml");
        let found = files(&there, &[("COMPOSE_FILE", &one), ("TAG", "8")]).unwrap();
        assert_eq!(found.project.services.len(), 1);
        let found = files(&["-f", &one, "--profile", "z"], &[]).unwrap();
        assert_eq!((found.project.services.len(), found.profiles), (1, vec!["z".to_owned()]));
    }

    #[test]
    fn names_of_projects() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("compose.yml");
        let refused = |name: &str, words: &[&str], environment: &[(&str, &str)]| {
            fs::write(&file, format!("{name}services: {{a: {{build: .}}}}\n")).unwrap();
            let words = [&["-f", file.to_str().unwrap()], words].concat();
            files(&words, environment).err()
        };
        let expect = "invalid project name `Shop`: it is made of lower-case letters";
        let error = refused("name: Shop\n", &[], &[]).unwrap();
        assert!(error.starts_with(expect), "{error}");
        assert!(refused("", &["-p", "Shop"], &[]).unwrap().starts_with(expect));
        assert!(refused("", &[], &[("COMPOSE_PROJECT_NAME", "Shop")]).unwrap().starts_with(expect));
        assert_eq!(refused("name: Shop\n", &["-p", "shop-1_"], &[]), None);
    }
}
