//! What was likely meant by a name that does not exist.

use crate::Keyword;

/// The largest number of edits that still counts as a slip; the reference implementation has the same.
const MAX_EDITS: usize = 2;

/// The option that is closest to `name`, if any is close. Of equally close ones a swap of two letters wins, then the first
/// by the alphabet.
pub fn closest<'a>(name: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best: Option<(usize, usize, &str)> = None;
    let letters = name.chars().count();
    let set = letter_set(name);
    for option in options {
        if option == name {
            return None;
        }
        // Each letter more or less, and each letter that the other does not have, is an edit: that tells most of them
        // apart, and keeps files with a million such names cheap.
        let other = letter_set(option);
        let edits = letters
            .abs_diff(option.chars().count())
            .max((set & !other).count_ones() as usize)
            .max((other & !set).count_ones() as usize);
        if edits > MAX_EDITS {
            continue;
        }
        let (edits, with_swaps) = distance(name, option);
        let candidate = (edits, with_swaps, option);
        if edits <= MAX_EDITS && best.is_none_or(|best| candidate < best) {
            best = Some(candidate);
        }
    }
    best.map(|(_, _, option)| option)
}

/// One bit for each letter that occurs, modulo 64: two letters that share a bit only make the set less telling.
fn letter_set(text: &str) -> u64 {
    text.chars().fold(0, |set, char| set | 1 << (u32::from(char) % 64))
}

/// The instruction that was likely meant, in the case of `name`: all lower, all upper, or lower.
pub(crate) fn keyword(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let found = closest(&lower, Keyword::ALL.iter().map(|it| it.lower()))?;
    Some(if name != lower && name == name.to_uppercase() {
        found.to_uppercase()
    } else {
        found.to_owned()
    })
}

/// The number of edits without and with swaps of neighbours counted as one.
fn distance(a: &str, b: &str) -> (usize, usize) {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    // Three rows of each table are enough: a swap looks two rows up.
    let (mut plain, mut swaps) = (vec![0; 3 * width], vec![0; 3 * width]);
    for j in 0..width {
        plain[j] = j;
        swaps[j] = j;
    }
    let row = |i: usize| (i % 3) * width;
    for i in 1..=a.len() {
        for rows in [&mut plain, &mut swaps] {
            rows[row(i)] = i;
        }
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            for rows in [&mut plain, &mut swaps] {
                rows[row(i) + j] = (rows[row(i - 1) + j] + 1)
                    .min(rows[row(i) + j - 1] + 1)
                    .min(rows[row(i - 1) + j - 1] + cost);
            }
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                swaps[row(i) + j] = swaps[row(i) + j].min(swaps[row(i - 2) + j - 2] + 1);
            }
        }
    }
    let last = row(a.len()) + b.len();
    (plain[last], swaps[last])
}

#[cfg(test)]
mod tests {
    use super::{closest, distance, keyword};

    #[test]
    fn slips_are_found_in_the_case_of_the_name() {
        assert_eq!(keyword("FORM").as_deref(), Some("FROM"));
        assert_eq!(keyword("rnu").as_deref(), Some("run"));
        assert_eq!(keyword("Cop").as_deref(), Some("copy"));
        assert_eq!(keyword("banana"), None);
        assert_eq!(keyword("RUN"), None, "an exact match is no slip");
        assert_eq!(closest("use", ["add", "user"]), Some("user"));
        assert_eq!(closest("größe", ["grosse", "größen"]), Some("größen"));
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, expect) in [
            ("", "", (0, 0)),
            ("", "abc", (3, 3)),
            ("abc", "", (3, 3)),
            ("form", "from", (2, 1)),
            ("ab", "ba", (2, 1)),
            ("entrypiont", "entrypoint", (2, 1)),
            ("kitten", "sitting", (3, 3)),
        ] {
            assert_eq!(distance(a, b), expect, "{a} {b}");
        }
    }
}
