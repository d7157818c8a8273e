use dfbuild_dockerfile::ast::{Add, Copy, Source};
use dfbuild_dockerfile::chmod::Chmod;
use dfbuild_dockerfile::{Diagnostic, Word, git_ref};
use dfbuild_image::Digest;

use crate::error::error;
use crate::graph::{AddOptions, CopySource, CopyStep, StepKind, TreeSource};
use crate::scope::{Place, Scope, absolute};

impl Scope {
    /// Adds the step of a `COPY` from `from`.
    pub(crate) fn copy(
        &mut self,
        copy: &Copy,
        from: TreeSource,
        place: &Place,
    ) -> Result<(), Diagnostic> {
        let sources = self.sources(&copy.sources, |path, word| match elsewhere(path, word)? {
            CopySource::Git(_) => Err(error("source can't be a git ref for COPY", word.span)),
            CopySource::Url(_) => Err(error("source can't be a URL for COPY", word.span)),
            source => Ok(source),
        })?;
        let (chown, chmod_text, chmod) =
            self.ownership(copy.chown().as_ref(), copy.chmod().as_ref())?;
        let dest = self.expand(&copy.dest)?;
        let mut line = "COPY".to_owned();
        if copy.parents() {
            line.push_str(" --parents");
        }
        history_tail(&mut line, chown.as_ref(), chmod_text.as_ref(), &sources, &dest);
        let step = CopyStep {
            sources,
            dest: self.destination(&dest),
            from,
            chown,
            chmod,
            link: copy.link(),
            parents: copy.parents(),
            excludes: copy.excludes().map(|pattern| pattern.value.to_string()).collect(),
            add: None,
        };
        self.push(place, StepKind::Copy(step), line);
        Ok(())
    }

    /// Adds the step of an `ADD`.
    pub(crate) fn add(&mut self, add: &Add, place: &Place) -> Result<(), Diagnostic> {
        let sources = self.sources(&add.sources, |path, word| {
            let source = elsewhere(path, word)?;
            if let (CopySource::Git(reference), Some(keep)) = (&source, add.keep_git_dir())
                && let Ok(Some(git)) = git_ref::parse(reference)
                && git.keep_git_dir == Some(!keep)
            {
                return Err(error("inconsistent keep-git-dir configuration", word.span));
            }
            Ok(source)
        })?;
        let (chown, chmod_text, chmod) =
            self.ownership(add.chown().as_ref(), add.chmod().as_ref())?;
        let dest = self.expand(&add.dest)?;
        let checksum = add.checksum().map(|sum| self.expand(&sum)).transpose()?;
        let checksum = checksum.filter(|text| !text.is_empty());
        if let (Some(sum), Some(text)) = (add.checksum(), &checksum) {
            check_checksum(text, &sources).map_err(|why| error(why, sum.span))?;
        }
        let mut line = "ADD".to_owned();
        history_tail(&mut line, chown.as_ref(), chmod_text.as_ref(), &sources, &dest);
        let step = CopyStep {
            sources,
            dest: self.destination(&dest),
            from: TreeSource::Context,
            chown,
            chmod,
            link: add.link(),
            parents: false,
            excludes: add.excludes().map(|pattern| pattern.value.to_string()).collect(),
            add: Some(AddOptions {
                checksum,
                keep_git_dir: add.keep_git_dir(),
                unpack: add.unpack(),
            }),
        };
        self.push(place, StepKind::Copy(step), line);
        Ok(())
    }

    fn sources(
        &self,
        sources: &[Source],
        classify: impl Fn(String, &Word) -> Result<CopySource, Diagnostic>,
    ) -> Result<Vec<CopySource>, Diagnostic> {
        let expanded = sources.iter().map(|source| match source {
            Source::Path(word) => classify(self.expand(word)?, word),
            Source::Heredoc(heredoc) => {
                let text = heredoc.text();
                let text = if heredoc.expand {
                    self.expand_body(&text, heredoc.span)?.into()
                } else {
                    text
                };
                Ok(CopySource::Inline { name: heredoc.name.to_string(), text: text.into() })
            }
        });
        expanded.collect()
    }

    /// `--chown`, and `--chmod` as text and as a change; empty values count as absent.
    #[expect(clippy::type_complexity, reason = "three values of two flags, used in one place")]
    fn ownership(
        &self,
        chown: Option<&Word>,
        chmod: Option<&Word>,
    ) -> Result<(Option<String>, Option<String>, Option<Chmod>), Diagnostic> {
        let expand = |flag: Option<&Word>| {
            let value = flag.map(|word| self.expand(word)).transpose()?;
            Ok::<_, Diagnostic>(value.filter(|value| !value.is_empty()))
        };
        let (chown, text) = (expand(chown)?, expand(chmod)?);
        let change = match (&text, chmod) {
            (Some(text), Some(word)) => {
                let change = text.parse::<Chmod>();
                Some(change.map_err(|problem| error(problem.to_string(), word.span))?)
            }
            _ => None,
        };
        Ok((chown, text, change))
    }

    /// The destination from the working directory; it keeps a slash at its end, and `""` and `.`
    /// mean the working directory as a directory (BuildKit `pathRelativeToWorkingDir`).
    fn destination(&self, dest: &str) -> String {
        let path = absolute(&self.cwd(), dest);
        let directory =
            dest.is_empty() || dest.ends_with('/') || dest == "." || dest.ends_with("/.");
        if directory && path != "/" { format!("{path}/") } else { path }
    }
}

fn history_tail(
    line: &mut String,
    chown: Option<&String>,
    chmod: Option<&String>,
    sources: &[CopySource],
    dest: &str,
) {
    let flags = [("chown", chown), ("chmod", chmod)];
    for (flag, value) in flags.into_iter().filter_map(|(flag, value)| Some((flag, value?))) {
        line.push_str(&format!(" --{flag}={value}"));
    }
    for source in sources {
        match source {
            CopySource::Path(text) | CopySource::Url(text) | CopySource::Git(text) => {
                line.push_str(&format!(" {text}"));
            }
            CopySource::Inline { name, .. } => line.push_str(&format!(" <<{name}")),
        }
    }
    line.push_str(&format!(" {dest} # buildkit"));
}

/// The source that `path` names: a file, or something elsewhere.
fn elsewhere(path: String, word: &Word) -> Result<CopySource, Diagnostic> {
    let git = git_ref::parse(&path).map_err(|problem| error(problem.message, word.span))?;
    Ok(match git {
        Some(git) if !git.indistinguishable_from_local => CopySource::Git(path),
        _ if path.starts_with("http://") || path.starts_with("https://") => CopySource::Url(path),
        _ => CopySource::Path(path),
    })
}

/// Whether what is added can have the checksum `text`.
fn check_checksum(text: &str, sources: &[CopySource]) -> Result<(), String> {
    let mut paths = sources.iter().filter(|it| !matches!(it, CopySource::Inline { .. }));
    match (paths.next(), paths.next()) {
        (Some(CopySource::Git(_)), None) => Ok(()),
        (Some(CopySource::Url(_)), None) if text.parse::<Digest>().is_ok() => Ok(()),
        (Some(CopySource::Url(_)), None) => {
            Err(format!("checksum {text} is none: write sha256: and 64 hexadecimal digits"))
        }
        (Some(_), None) => Err("checksum requires HTTP(S) or Git sources".to_owned()),
        _ => Err("checksum can't be specified for multiple sources".to_owned()),
    }
}
