//! The value of `--chmod`.

use std::fmt;
use std::str::FromStr;

use nom::character::complete::{char, one_of};
use nom::combinator::all_consuming;
use nom::multi::{many0, many1, separated_list1};
use nom::{IResult, Parser};

/// A change of mode bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    /// These bits, for files and directories alike; at most 0o7777.
    Octal(u32),
    /// Clauses as BSD's `chmod` has them.
    Symbolic(Vec<Clause>),
}

/// One clause of a symbolic mode, such as `u+x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Whose bits: any of `ugoa`; nobody named means everybody.
    who: String,
    /// What to do with them, in order: `+`, `-` or `=`, and any of `rwxXstugo`.
    changes: Vec<(char, String)>,
}

impl Chmod {
    /// The mode after the change. `mode` holds the permission bits, set-id and sticky bits included.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Octal(bits) => *bits,
            Self::Symbolic(clauses) => {
                // As BSD's chmod, and so BuildKit's, has it: what counts is the mode before all changes.
                let executable = is_dir || mode & 0o111 != 0;
                clauses.iter().fold(mode, |mode, clause| clause.apply(mode, executable))
            }
        }
    }
}

impl Clause {
    /// `executable` is whether `X` means `x`.
    fn apply(&self, mode: u32, executable: bool) -> u32 {
        let everybody = self.who.is_empty() || self.who.contains('a');
        let named = |who| everybody || self.who.contains(who);
        // The bits that the clause may touch: those of a class, and the special bit that belongs to it.
        let mut class_bits = 0;
        let mut special = 0;
        for (who, bits, bit) in [('u', 0o700, 0o4000), ('g', 0o070, 0o2000), ('o', 0o007, 0)] {
            if named(who) {
                class_bits |= bits;
                special |= bit;
            }
        }
        let mut mode = mode;
        for (operator, letters) in &self.changes {
            let mut bits = 0;
            for letter in letters.chars() {
                bits |= match letter {
                    'r' => 0o444 & class_bits,
                    'w' => 0o222 & class_bits,
                    'x' => 0o111 & class_bits,
                    'X' if executable => 0o111 & class_bits,
                    's' => special,
                    't' if class_bits != 0o007 => 0o1000,
                    'u' => spread(mode >> 6) & class_bits,
                    'g' => spread(mode >> 3) & class_bits,
                    'o' => spread(mode) & class_bits,
                    _ => 0,
                };
            }
            mode = match operator {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => {
                    // A copy of another class leaves the set-id bits alone.
                    let copies = letters.contains(['u', 'g', 'o']);
                    let cleared = if copies { class_bits } else { class_bits | special };
                    mode & !cleared | bits
                }
            };
        }
        mode & 0o7777
    }
}

/// The permissions of one class, for all classes.
fn spread(bits: u32) -> u32 {
    (bits & 7) * 0o111
}

/// As it can be written in a Dockerfile.
impl fmt::Display for Chmod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Octal(bits) => write!(f, "{bits:04o}"),
            Self::Symbolic(clauses) => {
                for (at, Clause { who, changes }) in clauses.iter().enumerate() {
                    f.write_str(if at == 0 { who } else { "," })?;
                    f.write_str(if at == 0 { "" } else { who })?;
                    for (operator, letters) in changes {
                        write!(f, "{operator}{letters}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Chmod {
    type Err = ChmodError;

    fn from_str(text: &str) -> Result<Self, ChmodError> {
        if let Ok(bits) = u32::from_str_radix(text, 8)
            && bits <= 0o7777
            && !text.starts_with('+')
        {
            return Ok(Self::Octal(bits));
        }
        match clauses(text) {
            Ok((_, clauses)) => Ok(Self::Symbolic(clauses)),
            Err(_) if text.starts_with(|it: char| it.is_ascii_digit()) => {
                Err(ChmodError::Octal { text: text.to_owned() })
            }
            Err(_) => Err(ChmodError::Symbolic { text: text.to_owned() }),
        }
    }
}

fn clauses(input: &str) -> IResult<&str, Vec<Clause>> {
    let change = (one_of("+-="), many0(one_of("rwxXstugo")))
        .map(|(operator, letters)| (operator, letters.into_iter().collect()));
    let clause = (many0(one_of("ugoa")), many1(change)).map(
        |(who, changes): (Vec<char>, Vec<(char, String)>)| Clause {
            who: who.into_iter().collect(),
            changes,
        },
    );
    all_consuming(separated_list1(char(','), clause)).parse(input)
}

/// A value that is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChmodError {
    /// A number that is not octal or too large.
    #[error("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")]
    Octal {
        /// The value.
        text: String,
    },
    /// Text that is no clause of a symbolic mode.
    #[error("invalid chmod parameter: '{text}': invalid syntax")]
    Symbolic {
        /// The value.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::Chmod;

    fn check(change: &str, before: u32, is_dir: bool, after: u32) {
        let chmod: Chmod = change.parse().unwrap();
        assert_eq!(
            format!("{:o}", chmod.apply(before, is_dir)),
            format!("{after:o}"),
            "{change} {before:o}"
        );
    }

    #[test]
    fn octal_modes_replace_everything() {
        check("755", 0o4600, false, 0o755);
        check("07777", 0, true, 0o7777);
    }

    #[test]
    fn symbolic_modes_change_classes() {
        check("+x", 0o644, false, 0o755);
        check("u=rwX,go=rX", 0o600, false, 0o644);
        check("u=rwX,go=rX", 0o700, true, 0o755);
        check("a-w", 0o777, false, 0o555);
        check("u+s", 0o755, false, 0o4755);
        check("g+s,o-rx", 0o755, true, 0o2750);
        check("go=u-w", 0o750, false, 0o755);
        check("=", 0o6777, false, 0);
        check("u=rw", 0o4755, false, 0o655);
        check("g=rx", 0o2775, true, 0o755);
        check("g=u", 0o2705, false, 0o2775);
        check("a-x,a+X", 0o755, false, 0o755);
        check("o+t", 0o777, true, 0o777);
        check("+t", 0o777, true, 0o1777);
    }

    #[test]
    fn other_text_is_an_error() {
        for text in ["", "10000", "8", "x", "u", "u+q", "u+x,", "+755", "-1"] {
            assert!(text.parse::<Chmod>().is_err(), "{text}");
        }
    }
}
