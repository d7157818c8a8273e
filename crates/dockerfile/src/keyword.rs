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
    pub fn find(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        if name.len() < PACKED_LEN {
            return Self::find_packed(packed(name), name.len());
        }
        let is_named = |it: &Self| it.name().as_bytes().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is_named)
    }

    /// The instruction whose name is the lowest `len` bytes of a number, of less than [`PACKED_LEN`].
    #[inline]
    pub(crate) fn find_packed(number: u64, len: usize) -> Option<Self> {
        let key = (number | LOWER) & ((1 << (8 * len)) - 1);
        let (name, keyword) = SHORT_NAMES[slot(key)];
        if name == key { keyword } else { None }
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

/// Names that are shorter are found as numbers, as comparing numbers is one step.
pub(crate) const PACKED_LEN: usize = 8;

/// The bit in each byte that tells a lower letter from its upper one. With it, only letters become letters.
const LOWER: u64 = u64::from_le_bytes([0x20; PACKED_LEN]);

/// A number that sends each short name to a slot of its own, found by trying: [`SHORT_NAMES`] does not compile otherwise.
const SPREAD: u64 = 0x1999_9e3f_a46d_6753;

/// The bits of a slot's number.
const SLOT_BITS: u32 = 5;

/// The short names in lower case as numbers.
const SHORT_NAMES: [(u64, Option<Keyword>); 1 << SLOT_BITS] = {
    let mut slots = [(0, None); 1 << SLOT_BITS];
    let mut at = 0;
    while at < Keyword::ALL.len() {
        let name = Keyword::ALL[at].lower().as_bytes();
        if name.len() < PACKED_LEN {
            let key = packed(name);
            assert!(slots[slot(key)].1.is_none(), "two names have one slot");
            slots[slot(key)] = (key, Some(Keyword::ALL[at]));
        }
        at += 1;
    }
    slots
};

/// Where a name stands in [`SHORT_NAMES`].
const fn slot(key: u64) -> usize {
    (key.wrapping_mul(SPREAD) >> (u64::BITS - SLOT_BITS)) as usize
}

/// At most eight bytes as a number whose lowest byte is the first.
const fn packed(name: &[u8]) -> u64 {
    let mut number = 0;
    let mut at = name.len();
    while at > 0 {
        at -= 1;
        number = number << 8 | name[at] as u64;
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
