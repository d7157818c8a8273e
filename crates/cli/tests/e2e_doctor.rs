//! What the command says of the machine and of itself.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use dfbuild_testkit::{Bed, as_each_user};
use serde_json::Value;

as_each_user!(the_machine, a_store_that_cannot_be, completions_and_manual);

fn the_machine(bed: &Bed) {
    let told = bed.run(&["doctor"]).succeeds().stdout;
    let line = |name: &str| {
        let found = told.lines().find(|line| line.starts_with(name));
        found.unwrap_or_else(|| panic!("no {name} in {told}")).to_owned()
    };
    assert!(line("store").contains(bed.store().to_str().unwrap()), "{told}");
    assert!(line("sandbox").contains(" ok "), "{told}");
    assert_eq!(line("ids").contains("one is mapped"), bed.has_one_id(), "{told}");
    assert_eq!(told.contains("usermod --add-subuids"), bed.has_one_id(), "{told}");
    let json: Value =
        serde_json::from_str(&bed.run(&["doctor", "--format=json"]).succeeds().stdout).unwrap();
    let probes = json.as_array().unwrap();
    assert!(probes.iter().any(|probe| probe["name"] == "overlay" && probe["health"] == "ok"));
}

fn a_store_that_cannot_be(bed: &Bed) {
    let told = bed.run(&["doctor", "--root", "/proc/nowhere"]).exits_with(1).stdout;
    assert!(told.starts_with("store  bad "), "{told}");
    assert!(told.contains("so: nothing can be built") && told.contains("--root DIR"), "{told}");
}

fn completions_and_manual(bed: &Bed) {
    for (shell, part) in [
        ("bash", "complete -F _dfbuild"),
        ("zsh", "#compdef dfbuild"),
        ("fish", "complete -c dfbuild"),
    ] {
        let script = bed.run(&["completions", shell]).succeeds().stdout;
        assert!(script.contains(part) && script.contains("compose"), "{shell}");
    }
    let folder = bed.join("home/man1");
    let _ = bed.run(&["man", folder.to_str().unwrap()]).succeeds();
    let page = std::fs::read_to_string(folder.join("dfbuild-build.1")).unwrap();
    assert!(page.contains("build\\-arg"), "{page}");
}
