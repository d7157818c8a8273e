use std::fmt;

/// What a token has to allow (distribution, "Token Scope Documentation").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scope {
    repository: String,
    push: bool,
}

impl Scope {
    pub(crate) fn pull(repository: &str) -> Self {
        Self { repository: repository.to_owned(), push: false }
    }

    pub(crate) fn push(repository: &str) -> Self {
        Self { repository: repository.to_owned(), push: true }
    }

    /// Mounting a blob reads one repository and writes another.
    pub(crate) fn mount(repository: &str, from: &str) -> Vec<Self> {
        let mut scopes = vec![Self::push(repository)];
        if from != repository {
            scopes.push(Self::pull(from));
        }
        scopes
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions = if self.push { "pull,push" } else { "pull" };
        write!(f, "repository:{}:{actions}", self.repository)
    }
}

/// The scopes to ask for: those that are needed and those that the server named besides, each
/// once.
pub(crate) fn wanted(scopes: &[Scope], named: Option<&str>) -> Vec<String> {
    let mut all: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    for scope in named.into_iter().flat_map(str::split_ascii_whitespace) {
        let covered = all.iter().any(|known| known == scope)
            || scope.strip_suffix(":pull").is_some_and(|repository| {
                all.iter().any(|known| known == &format!("{repository}:pull,push"))
            });
        if !covered {
            all.push(scope.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        let texts = |scopes: &[Scope], named| wanted(scopes, named).join(" ");
        let pull = [Scope::pull("library/ubuntu")];
        assert_eq!(texts(&pull, None), "repository:library/ubuntu:pull");
        assert_eq!(
            texts(&pull, Some("repository:library/ubuntu:pull registry:catalog:*")),
            "repository:library/ubuntu:pull registry:catalog:*"
        );
        assert_eq!(
            texts(&Scope::mount("a", "b"), Some("repository:a:pull")),
            "repository:a:pull,push repository:b:pull"
        );
        assert_eq!(texts(&Scope::mount("a", "a"), None), "repository:a:pull,push");
    }
}
