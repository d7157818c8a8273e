#![no_main]

use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "each target calls one of them")]
#[path = "../src/targets.rs"]
mod targets;

fuzz_target!(|data: &[u8]| targets::ignore(data));
