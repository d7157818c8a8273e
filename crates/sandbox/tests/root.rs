//! Steps as real root.

mod common;

use common::{Fixture, ok, run};
use dfbuild_sandbox::Exit;

#[test]
fn exit_codes_and_signals() {
    let fixture = Fixture::new();
    let check = |script: &str, expect: Exit| {
        assert_eq!(run(&fixture.shell(script)).unwrap().exit, expect, "{script}");
    };
    ok(&fixture.step(&["true"]));
    check("exit 0", Exit::Code(0));
    check("exit 7", Exit::Code(7));
    check("exit 255", Exit::Code(255));
}
