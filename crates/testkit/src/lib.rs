//! Fixtures, base images made from nothing, and temporary stores for the tests of the other crates.
