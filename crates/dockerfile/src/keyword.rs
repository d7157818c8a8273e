//! The names of the instructions.

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the names of the instructions")]
pub enum Keyword {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
}

impl Keyword {
    /// All instructions, by the alphabet.
    pub const ALL: [Self; 18] = [
        Self::Add,
        Self::Arg,
        Self::Cmd,
        Self::Copy,
        Self::Entrypoint,
        Self::Env,
        Self::Expose,
        Self::From,
        Self::Healthcheck,
        Self::Label,
        Self::Maintainer,
        Self::Onbuild,
        Self::Run,
        Self::Shell,
        Self::Stopsignal,
        Self::User,
        Self::Volume,
        Self::Workdir,
    ];

    /// The instruction of this name, in any case.
    #[inline]
    pub fn find(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        // The length and the first letter leave at most one or two to compare with.
        let first = name.first()?.to_ascii_lowercase();
        let found = match (name.len(), first) {
            (3, b'r') => Self::Run,
            (3, b'e') => Self::Env,
            (3, b'c') => Self::Cmd,
            (3, b'a') if name[1] | LOWER == b'r' => Self::Arg,
            (3, b'a') => Self::Add,
            (4, b'c') => Self::Copy,
            (4, b'f') => Self::From,
            (4, b'u') => Self::User,
            (5, b'l') => Self::Label,
            (5, b's') => Self::Shell,
            (6, b'e') => Self::Expose,
            (6, b'v') => Self::Volume,
            (7, b'o') => Self::Onbuild,
            (7, b'w') => Self::Workdir,
            (10, b'e') => Self::Entrypoint,
            (10, b'm') => Self::Maintainer,
            (10, b's') => Self::Stopsignal,
            (11, b'h') => Self::Healthcheck,
            _ => return None,
        };
        let is_found = if name.len() <= 8 {
            packed(name) == PACKED[found as usize]
        } else {
            name.eq_ignore_ascii_case(found.name().as_bytes())
        };
        if is_found { Some(found) } else { None }
    }

    /// The name in lower case.
    pub const fn lower(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Arg => "arg",
            Self::Cmd => "cmd",
            Self::Copy => "copy",
            Self::Entrypoint => "entrypoint",
            Self::Env => "env",
            Self::Expose => "expose",
            Self::From => "from",
            Self::Healthcheck => "healthcheck",
            Self::Label => "label",
            Self::Maintainer => "maintainer",
            Self::Onbuild => "onbuild",
            Self::Run => "run",
            Self::Shell => "shell",
            Self::Stopsignal => "stopsignal",
            Self::User => "user",
            Self::Volume => "volume",
            Self::Workdir => "workdir",
        }
    }

    /// The name in upper case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Arg => "ARG",
            Self::Cmd => "CMD",
            Self::Copy => "COPY",
            Self::Entrypoint => "ENTRYPOINT",
            Self::Env => "ENV",
            Self::Expose => "EXPOSE",
            Self::From => "FROM",
            Self::Healthcheck => "HEALTHCHECK",
            Self::Label => "LABEL",
            Self::Maintainer => "MAINTAINER",
            Self::Onbuild => "ONBUILD",
            Self::Run => "RUN",
            Self::Shell => "SHELL",
            Self::Stopsignal => "STOPSIGNAL",
            Self::User => "USER",
            Self::Volume => "VOLUME",
            Self::Workdir => "WORKDIR",
        }
    }
}

/// The bit that tells a lower letter from its upper one. With it, only letters become letters.
const LOWER: u8 = 0x20;

/// The names of at most eight letters as numbers, by [`Keyword::ALL`]: comparing numbers is one step.
const PACKED: [u64; Keyword::ALL.len()] = {
    let mut all = [0; Keyword::ALL.len()];
    let mut at = 0;
    while at < all.len() {
        let name = Keyword::ALL[at].lower().as_bytes();
        if name.len() <= 8 {
            all[at] = packed(name);
        }
        at += 1;
    }
    all
};

/// At most eight bytes in lower case as one number.
const fn packed(name: &[u8]) -> u64 {
    let mut number = 0;
    let mut at = 0;
    while at < name.len() {
        number = number << 8 | (name[at] | LOWER) as u64;
        at += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::Keyword;

    #[test]
    fn names_are_found_in_any_case() {
        for keyword in Keyword::ALL {
            assert_eq!(Keyword::find(keyword.name()), Some(keyword));
            assert_eq!(Keyword::find(keyword.lower()), Some(keyword));
        }
        for other in ["", "ru", "RNU", "ARGS", "healthchec", "rün", "\u{212a}"] {
            assert_eq!(Keyword::find(other), None, "{other}");
        }
    }
}
