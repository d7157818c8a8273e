use serde::Serialize;

/// `value` as JSON without white space and with sorted keys, so that equal values have equal bytes
/// in every process.
///
/// `serde_json::Value` keeps its maps sorted as long as nobody turns on `preserve_order`; going
/// through it also sorts the hash maps inside the types of `oci-spec`, whose own order changes
/// with every process.
///
/// # Panics
/// If `value` has a map with keys that are not strings, which no type of this project has.
pub fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    let value = serde_json::to_value(value).expect("documents have string keys");
    serde_json::to_vec(&value).expect("a value is always written to memory")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn keys_are_sorted() {
        let map: HashMap<String, u8> = (0..20).map(|n| (format!("k{n:02}"), n)).collect();
        let text = String::from_utf8(canonical_json(&map)).unwrap();
        assert!(text.starts_with(r#"{"k00":0,"k01":1,"#), "{text}");
    }
}
