//! The build context: walk, ignore rules, content digests of selected paths, stat cache.
