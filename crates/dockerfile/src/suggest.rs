//! What was likely meant by a name that does not exist.

/// The largest number of edits that still counts as a slip; the reference implementation has the same.
const MAX_EDITS: usize = 2;

/// The option that is closest to `name`, if any is close. Of equally close ones a swap of two letters wins, then the first
/// by the alphabet.
pub fn closest<'a>(name: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best: Option<(usize, usize, &str)> = None;
    let letters = name.chars().count();
    for option in options {
        if option == name {
            return None;
        }
        // Each letter more or less is an edit; this also keeps long names cheap.
        if letters.abs_diff(option.chars().count()) > MAX_EDITS {
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

/// The option in the case of `name`: all lower, all upper, or as it is.
pub(crate) fn closest_ignoring_case<'a>(
    name: &str,
    options: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let lower = name.to_lowercase();
    let found = closest(&lower, options)?;
    Some(if name != lower && name == name.to_uppercase() {
        found.to_uppercase()
    } else {
        found.to_owned()
    })
}

/// The number of edits without and with swaps of neighbours counted as one.
fn distance(a: &str, b: &str) -> (usize, usize) {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut plain: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    let mut swaps = plain.clone();
    for i in 1..=a.len() {
        for rows in [&mut plain, &mut swaps] {
            rows.push(vec![i; b.len() + 1]);
        }
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            for rows in [&mut plain, &mut swaps] {
                rows[i][j] =
                    (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            }
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                swaps[i][j] = swaps[i][j].min(swaps[i - 2][j - 2] + 1);
            }
        }
    }
    (plain[a.len()][b.len()], swaps[a.len()][b.len()])
}

#[cfg(test)]
mod tests {
    use super::{closest, closest_ignoring_case};

    const NAMES: [&str; 5] = ["add", "copy", "from", "run", "user"];

    #[test]
    fn slips_are_found_in_the_case_of_the_name() {
        assert_eq!(closest_ignoring_case("FORM", NAMES).as_deref(), Some("FROM"));
        assert_eq!(closest_ignoring_case("rnu", NAMES).as_deref(), Some("run"));
        assert_eq!(closest_ignoring_case("Cop", NAMES).as_deref(), Some("copy"));
        assert_eq!(closest_ignoring_case("banana", NAMES), None);
        assert_eq!(closest_ignoring_case("RUN", NAMES), None, "an exact match is no slip");
        assert_eq!(closest("use", NAMES), Some("user"));
    }
}
