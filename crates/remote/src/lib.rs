//! Everything from elsewhere.
#![forbid(unsafe_code)]
