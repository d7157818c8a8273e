//! Dockerfiles made from numbers: none has an error, and printing and formatting keep what they say.

use dfbuild_dockerfile::format::{format, same_meaning};
use dfbuild_dockerfile::{Diagnostic, parse, tree};

mod common;

use common::{Dialect, Random, dockerfile};

#[test]
fn made_files_survive_printing_and_formatting() {
    let mut random = Random::new(2);
    let dialect = Dialect { heredocs: true, oddities: true };
    let (mut heredocs, mut instructions) = (0, 0);
    for _ in 0..300 {
        let source = dockerfile(&mut random, dialect);
        let errors: Vec<Diagnostic> =
            parse(&source).diagnostics.into_iter().filter(Diagnostic::is_error).collect();
        assert_eq!(errors, [], "{source}");
        let before = tree(&source);
        instructions += before.nodes.len();
        heredocs += before.nodes.iter().map(|node| node.heredocs.len()).sum::<usize>();

        let printed = before.print();
        let after = tree(&printed);
        assert!(same_meaning(&before, &after), "{source}\nprinted:\n{printed}");
        assert_eq!(before.dump(), after.dump());

        let formatted = format(&source);
        let after = tree(&formatted);
        assert!(same_meaning(&before, &after), "{source}\nformatted:\n{formatted}");
        assert_eq!(before.dump(), after.dump());
        assert_eq!(format(&formatted), formatted);
    }
    // The files are worth the test only if there is something in them.
    assert!(instructions > 3000 && heredocs > 100, "{instructions} {heredocs}");
}
