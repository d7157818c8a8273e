//! What the terminal behind standard error can show.

use std::env;
use std::io::{self, IsTerminal};

/// A terminal that cannot move its cursor.
pub(crate) fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// See no-color.org: any value but the empty one switches colours off.
pub(crate) fn wants_colour() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && !is_dumb() && io::stderr().is_terminal()
}
