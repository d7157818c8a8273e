//! What holds for every list of patterns and every path.

use dfbuild_pattern::{Decision, ParentState, PatternSet, glob, parse_ignore_file};
use proptest::prelude::*;

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[abü.]{1,3}", 1..5).prop_map(|names| names.join("/"))
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("!?[ab*?/.]{1,7}", 0..6)
}

proptest! {
    #[test]
    fn without_exclusions_a_walk_decides_like_a_single_question(patterns in patterns(), path in path()) {
        let patterns: Vec<_> = patterns.iter().filter(|it| !it.starts_with('!')).collect();
        let Ok(set) = PatternSet::from_texts(patterns) else { return Ok(()) };
        let mut state = ParentState::default();
        let mut decision = Decision::default();
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            (decision, state) = set.matches_with_parent(&path.as_bytes()[..end], &state);
        }
        prop_assert_eq!(decision, set.matches(path.as_bytes()));
    }

    #[test]
    fn nothing_returns_below_a_directory_that_is_left_out(patterns in patterns(), path in path(), name in "[abü.]{1,3}") {
        let Ok(set) = PatternSet::from_texts(&patterns) else { return Ok(()) };
        if !set.may_match_below(path.as_bytes()) {
            let child = format!("{path}/{name}");
            let grandchild = format!("{child}/{name}");
            prop_assert!(set.matches(child.as_bytes()).ignored);
            prop_assert!(set.matches(grandchild.as_bytes()).ignored);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(file in any::<Vec<u8>>(), path in any::<Vec<u8>>()) {
        let _ = glob(&file, &path);
        if let Ok(set) = PatternSet::new(parse_ignore_file(&file)) {
            set.matches(&path);
            set.may_match_below(&path);
        }
    }
}
