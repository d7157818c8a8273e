//! The `dfbuild` command.

fn main() {}
