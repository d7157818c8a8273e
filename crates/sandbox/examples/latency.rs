//! Measures how long a step takes that does nothing: `latency BASE [STEPS]`, where `BASE` is a root
//! with a `/bin/true`. Enters a user namespace when it is not run by root.
#![expect(clippy::print_stdout, reason = "a command")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use dfbuild_sandbox::userns::{self, Position};
use dfbuild_sandbox::{Exit, Network, Spec, spawn};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let base = PathBuf::from(args.next().ok_or("which root?")?);
    let steps: usize = args.next().map_or(Ok(200), |count| count.parse())?;
    let map = match userns::current()? {
        Position::Root(map) => map,
        Position::Unprivileged => userns::enter(&userns::Plan::default())?,
    };
    let dir = std::env::temp_dir().join(format!("latency-{}", std::process::id()));
    for network in [Network::Host, Network::None] {
        let mut times = Vec::new();
        for step in 0..steps {
            let mut spec = spec(&base, &dir.join(step.to_string()))?;
            spec.id_mode = map.mode();
            spec.network = network;
            let start = Instant::now();
            assert_eq!(spawn(&spec)?.wait()?, Exit::Code(0));
            times.push(start.elapsed());
        }
        fs::remove_dir_all(&dir)?;
        times.sort();
        let (median, late) = (times[steps / 2], times[steps * 9 / 10]);
        println!(
            "{network:?}: median {median:.2?}, 90 % within {late:.2?} ({})",
            map.fingerprint()
        );
    }
    Ok(())
}

fn spec(base: &Path, dir: &Path) -> std::io::Result<Spec> {
    let (upper, work) = (dir.join("upper"), dir.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    Ok(Spec {
        lower: vec![base.to_path_buf()],
        args: vec!["/bin/true".into()],
        ..Spec::new(upper, work)
    })
}
