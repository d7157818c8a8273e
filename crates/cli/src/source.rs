use std::io::Read;
use std::path::{Path, PathBuf};

use dfbuild::Loaded;

/// The Dockerfile as messages show it, with the place of a warning or of a failed step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// What to call it.
    pub(crate) name: String,
    /// Its text; empty if it could not be read.
    pub(crate) text: String,
    /// The service that it is of, which stands before its name, if a compose file is built.
    pub(crate) service: Option<String>,
    /// Where it is, if its name leaves that out: that of a context is `Dockerfile` to messages.
    pub(crate) folder: Option<PathBuf>,
}

impl Source {
    /// The Dockerfile of a build, called as the user called it.
    pub(crate) fn of(loaded: &Loaded<'_>) -> Self {
        Self {
            name: loaded.dockerfile_name().to_owned(),
            text: loaded.dockerfile_text().to_owned(),
            ..Self::default()
        }
    }

    /// The same as that of a service, of which `file` is the name.
    pub(crate) fn of_service(self, service: &str, file: &str) -> Self {
        Self { name: format!("{service}: {file}"), service: Some(service.to_owned()), ..self }
    }

    /// Its path for programs, without the service.
    pub(crate) fn file(&self) -> String {
        let service = self.service.as_deref();
        let file = service.and_then(|it| self.name.strip_prefix(it)?.strip_prefix(": "));
        let file = file.unwrap_or(&self.name);
        match &self.folder {
            Some(folder) => folder.join(file).display().to_string(),
            None => file.to_owned(),
        }
    }

    /// Reads a file that must be there, `-` being standard input.
    pub(crate) fn open(path: &Path, standard_input: &mut dyn Read) -> Result<Self, String> {
        let mut bytes = Vec::new();
        if path == Path::new("-") {
            standard_input
                .read_to_end(&mut bytes)
                .map_err(|error| format!("read the Dockerfile from standard input: {error}"))?;
            return Ok(Self::standard_input(&String::from_utf8_lossy(&bytes)));
        }
        let path = &dockerfile_at(path);
        let bytes = std::fs::read(path)
            .map_err(|error| format!("read Dockerfile {}: {error}", path.display()))?;
        let name = path.strip_prefix("./").unwrap_or(path).display().to_string();
        Ok(Self { name, text: String::from_utf8_lossy(&bytes).into_owned(), ..Self::default() })
    }

    /// A text from standard input.
    pub(crate) fn standard_input(text: &str) -> Self {
        Self { name: "Dockerfile".to_owned(), text: text.to_owned(), ..Self::default() }
    }
}

/// The Dockerfile that a path stands for: a folder stands for that in it.
pub(crate) fn dockerfile_at(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("Dockerfile") } else { path.to_owned() }
}
