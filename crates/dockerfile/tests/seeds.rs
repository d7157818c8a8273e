//! Every seed of the fuzz targets, given to every target.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/targets.rs"]
mod targets;

#[test]
fn seeds_keep_what_the_targets_hold_true() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let mut count = 0;
    for target in fs::read_dir(&folder).expect("the seeds are there") {
        for seed in fs::read_dir(target.expect("readable").path()).expect("a folder of seeds") {
            let data = fs::read(seed.expect("readable").path()).expect("a seed can be read");
            targets::parse(&data);
            targets::expand(&data);
            targets::ignore(&data);
            targets::print(&data);
            count += 1;
        }
    }
    assert!(count >= 20, "{count} seeds");
}
