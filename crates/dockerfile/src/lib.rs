//! A Dockerfile parser: bytes to a spanned syntax tree and every diagnostic; word expansion; lint. Pure.
