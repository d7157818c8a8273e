//! Many builds on one store, killed at random, while things are removed: `DFBUILD_STRESS_SECONDS` says for
//! how long.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dfbuild_testkit::{Bed, Outcome, Who, eventually, mounts_below, processes_with, run_or_skip};

/// How many build at the same time.
const WORKERS: u64 = 8;

/// Of how many different Dockerfiles.
const VARIANTS: usize = 6;

/// A build that takes longer hangs: the machine may be busy, but nobody waits for the dead.
const HANGS: Duration = Duration::from_secs(180);

/// Two by two they have the first stage in common.
fn dockerfile(variant: usize) -> String {
    format!(
        "FROM base AS one\nCOPY tree /one\n\
         RUN --mount=type=cache,target=/c cat /one/* > /sum; echo {pair} >> /sum; echo x >> /c/log\n\
         FROM base\nCOPY --from=one /sum /sum\n\
         RUN cp /sum /again && echo {variant} > /variant && sleep 0.05\nCOPY tree /tree\n",
        pair = variant / 2
    )
}

fn args(bed: &Bed, variant: usize) -> [String; 4] {
    let file = bed.join(format!("Dockerfile.{variant}")).display().to_string();
    ["-f".into(), file, "--build-arg".into(), "SOURCE_DATE_EPOCH=1600000000".into()]
}

fn start(bed: &Bed, variant: usize, more: &[&str]) -> Child {
    let args = args(bed, variant);
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let mut command = bed.build_command(&args);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn prepare(bed: &Bed) {
    bed.base();
    for number in 0..20 {
        bed.write(&format!("tree/{number}"), format!("{number} ").repeat(number * 500));
    }
    bed.set_times(1_500_000_000);
    for variant in 0..VARIANTS {
        fs::write(bed.join(format!("Dockerfile.{variant}")), dockerfile(variant)).unwrap();
    }
}

/// Numbers that look like chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        // Knuth, "The Art of Computer Programming" 3.3.4, MMIX.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What happened.
#[derive(Default)]
struct Counts {
    built: AtomicU32,
    killed: AtomicU32,
    waited: AtomicU32,
    slowest: AtomicU64,
}

/// Builds once, and is killed perhaps.
fn build_once(
    bed: &Bed,
    chance: &mut Chance,
    sound: &[String],
    typical: Duration,
    counts: &Counts,
) {
    let variant = usize::try_from(chance.below(VARIANTS as u64)).unwrap();
    let tag = format!("v{variant}");
    let mut more: Vec<&str> = Vec::new();
    if chance.below(2) == 0 {
        more.extend(["-t", &tag]);
    }
    if chance.below(2) == 0 {
        more.extend(["--store-limit", "9m"]);
    }
    let begun = Instant::now();
    let mut child = start(bed, variant, &more);
    let mut stderr = child.stderr.take().unwrap();
    let heard = thread::spawn(move || {
        let mut text = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stderr, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    if chance.below(2) == 0 {
        let part = u32::try_from(chance.below(1000)).unwrap();
        thread::sleep(typical * part / 1000);
        let _ = child.kill();
    }
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > HANGS {
            let _ = child.kill();
            panic!("a build hangs: {}", heard.join().unwrap());
        }
        thread::sleep(Duration::from_millis(5));
    };
    let Some(code) = status.code() else {
        counts.killed.fetch_add(1, Ordering::Relaxed);
        // Who watches over its steps ends by itself; nobody hears it any more.
        return;
    };
    let stderr = heard.join().unwrap();
    counts.waited.fetch_add(u32::from(stderr.contains("waiting for process")), Ordering::Relaxed);
    let outcome = Outcome { code: Some(code), stdout: String::new(), stderr };
    let outcome = outcome.succeeds();
    assert_eq!(outcome.image_id(), sound[variant], "variant {variant}: {}", outcome.stderr);
    counts.built.fetch_add(1, Ordering::Relaxed);
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap();
    counts.slowest.fetch_max(millis, Ordering::Relaxed);
}

fn remove_until(bed: &Bed, end: Instant) {
    let prunes: [&[&str]; 3] =
        [&["--keep-storage", "6m"], &["--filter", "until=1s"], &["--all", "--keep-storage", "4m"]];
    for args in prunes.iter().cycle() {
        if Instant::now() >= end {
            return;
        }
        let _ = bed.run(&[&["prune", "-f"], *args].concat()).succeeds();
        let _ = bed.run(&["rm", "v0:latest"]);
        thread::sleep(Duration::from_millis(300));
    }
}

fn nothing_is_left(store: &Path) {
    for folder in ["staging", "trash", "leases", "locks"] {
        let left: Vec<_> =
            fs::read_dir(store.join(folder)).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(left, [] as [std::path::PathBuf; 0]);
    }
}

#[test]
fn builds_are_killed_while_things_are_removed() {
    run_or_skip("builds_are_killed_while_things_are_removed", || {
        let bed = Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)?;
        prepare(&bed);
        // What each should be, from a store of its own.
        let alone = bed.another();
        prepare(&alone);
        let begun = Instant::now();
        let sound: Vec<String> = (0..VARIANTS)
            .map(|variant| {
                let output = start(&alone, variant, &["--no-cache"]).wait_with_output().unwrap();
                Outcome::from(output).succeeds().image_id().to_owned()
            })
            .collect();
        let typical = begun.elapsed() / u32::try_from(VARIANTS).unwrap();
        let seconds = env::var("DFBUILD_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
        let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(20));
        let counts = Counts::default();
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (bed, sound, counts) = (&bed, &sound, &counts);
                scope.spawn(move || {
                    let mut chance = Chance(worker + 1);
                    while Instant::now() < end {
                        build_once(bed, &mut chance, sound, typical, counts);
                    }
                });
            }
            scope.spawn(|| remove_until(&bed, end));
        });
        let Counts { built, killed, waited, slowest } = counts;
        let slowest = Duration::from_millis(slowest.into_inner());
        let [built, killed, waited] = [built, killed, waited].map(AtomicU32::into_inner);
        println!("{built} built, {killed} killed, {waited} waited, the slowest took {slowest:?}");
        assert!(built > 0 && killed > 0, "{built} built, {killed} killed");
        let here = bed.path().to_str().unwrap().to_owned();
        eventually("no process of a build is left", || processes_with(&here).is_empty());
        eventually("no mount is left", || mounts_below(bed.path()).is_empty());
        let fsck = bed.run(&["fsck", "--deep", "--repair"]).succeeds();
        assert!(fsck.stdout.contains("no damage"), "{}", fsck.stdout);
        let again = bed.run(&["fsck", "--deep"]).succeeds();
        assert_eq!(again.stdout.lines().count(), 1, "{}", again.stdout);
        nothing_is_left(&bed.store());
        Ok(())
    });
}
