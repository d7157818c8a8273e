//! `SecretsUsedInArgOrEnv`.

use super::linter::{Linter, Place};
use super::rule::SECRETS_USED_IN_ARG_OR_ENV;
use crate::quote::quote;

const SECRET: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// Looks at the name of a variable.
pub(super) fn check(linter: &mut Linter, place: Place, keyword: &str, name: &str) {
    if is_secret(name) {
        let detail = format!(
            "Do not use ARG or ENV instructions for sensitive data ({keyword} {})",
            quote(name)
        );
        linter.warn(&SECRETS_USED_IN_ARG_OR_ENV, place, detail);
    }
}

/// Whether one of the parts between underscores means a secret, and none says that it is harmless.
pub fn is_secret(name: &str) -> bool {
    let has = |words: &[&str]| {
        name.split('_').any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
    };
    has(&SECRET) && !has(&HARMLESS)
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn parts_of_names() {
        for name in ["TOKEN", "github_token", "API_KEY", "key_x", "A__AUTH"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["TOKENS", "monkey", "PUBLIC_KEY", "KEY_FILE", "TOKEN_VERSION", "MY-TOKEN"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
