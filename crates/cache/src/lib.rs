//! Typed, framed cache keys, the records kept under them, and the reasons of a miss. Pure.
