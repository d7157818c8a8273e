//! Tests that need processes of their own.

fn main() {}
