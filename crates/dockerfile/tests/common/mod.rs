//! Dockerfiles made from a number, so that tests and benchmarks have many that nobody has to write.

/// A small generator of numbers: splitmix64, which is a few lines and the same everywhere.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Starts a sequence.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("less than a usize")
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

const NAMES: [&str; 12] = [
    "app", "lib", "src", "data", "tools", "web", "api", "cache", "conf", "größe", "vendor", "dist",
];
const IMAGES: [&str; 6] = [
    "alpine:3.20",
    "debian:bookworm-slim",
    "node:22",
    "python:3.12",
    "registry.example.com:5000/team/base:1.2",
    "scratch",
];
const COMMANDS: [&str; 8] = [
    "apt-get update",
    "apt-get install -y --no-install-recommends curl ca-certificates",
    "echo \"it's ${HOME} here\" > /tmp/x",
    "make -j\"$(nproc)\" install",
    "rm -rf /var/lib/apt/lists/*",
    "if [ -f /x ]; then cp /x /y; fi",
    "sed -i 's/a b/c\\/d/g' /etc/conf",
    "curl -fsSL https://example.com/x.tar.gz | tar -xz -C /opt",
];

/// What a made file may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// Heredocs, which other parsers do not know.
    pub(crate) heredocs: bool,
    /// Windows line ends, a byte order mark, the other escape character, odd blanks.
    pub(crate) oddities: bool,
}

/// A file with one to three stages, without errors.
pub(crate) fn dockerfile(random: &mut Random, dialect: Dialect) -> String {
    let mut out = String::new();
    let escape = if dialect.oddities && random.one_in(8) { '`' } else { '\\' };
    if random.one_in(3) {
        out.push_str("# syntax=docker/dockerfile:1\n");
    }
    if escape == '`' {
        out.push_str("# escape=`\n\n");
    }
    if random.one_in(3) {
        out.push_str("ARG VERSION=1.2.3\n");
    }
    for stage in 0..=random.below(3) {
        let platform = if random.one_in(6) { "--platform=$BUILDPLATFORM " } else { "" };
        out.push_str(&format!("FROM {platform}{} AS stage{stage}\n", random.pick(&IMAGES)));
        for _ in 0..4 + random.below(24) {
            instruction(random, dialect, escape, stage, &mut out);
            if random.one_in(4) {
                out.push('\n');
            }
        }
    }
    if dialect.oddities && random.one_in(8) {
        out = out.replace('\n', "\r\n");
    }
    if dialect.oddities && random.one_in(8) {
        out.insert(0, '\u{feff}');
    }
    out
}

fn instruction(
    random: &mut Random,
    dialect: Dialect,
    escape: char,
    stage: usize,
    out: &mut String,
) {
    let (a, b) = (random.pick(&NAMES), random.pick(&NAMES));
    let number = random.below(9000) + 1000;
    let line = match random.below(20) {
        0 => format!("# {a}: the {b} of it"),
        1 => format!(
            "ENV {}_HOME=/opt/{b} {}_OPTS=\"-x y -z '{number}'\"",
            a.to_uppercase(),
            b.to_uppercase()
        ),
        2 => format!("ENV {a}_legacy  some value of {b}"),
        3 => format!("ARG {a}_VERSION={number}"),
        4 => format!("LABEL org.example.{a}=\"{b}\" {escape}\n      org.example.number={number}"),
        5 => format!("WORKDIR /srv/{a}/{b}"),
        6 => format!("COPY --chown=1000:1000 {a}/ {b}.txt /{a}/"),
        7 if stage > 0 => format!("COPY --from=stage{} /out/{a} /usr/local/bin/{b}", stage - 1),
        8 => format!("COPY [\"{a} with blanks\", \"/{b}\\n\\u00e9/\"]"),
        9 => format!("EXPOSE {number} {}/udp", number + 1),
        10 => format!("USER {a}:{b}"),
        11 => format!("VOLUME /{a} /{b}"),
        12 => format!("ENTRYPOINT [\"/{a}\", \"--{b}\", \"{number}\"]"),
        13 => format!(
            "HEALTHCHECK --interval=5s --retries=3 CMD curl -f http://localhost:{number}/ || exit 1"
        ),
        14 => format!("ADD https://example.com/{a}-{number}.tar.gz /tmp/"),
        15 if random.one_in(4) => format!("ONBUILD RUN {}", random.pick(&COMMANDS)),
        16 if dialect.heredocs => heredoc(random, a, number),
        17 if dialect.oddities => format!("  user \t {a}  "),
        _ => run(random, escape),
    };
    out.push_str(&line);
    out.push('\n');
}

fn run(random: &mut Random, escape: char) -> String {
    let mut text = String::from("RUN ");
    if random.one_in(6) {
        text.push_str("--mount=type=cache,target=/root/.cache ");
    }
    text.push_str(random.pick(&COMMANDS));
    for _ in 0..random.below(8) {
        text.push_str(&format!(" {escape}\n"));
        if random.one_in(5) {
            text.push_str("    # what follows is needed\n");
        }
        text.push_str(&format!("    && {}", random.pick(&COMMANDS)));
    }
    text
}

fn heredoc(random: &mut Random, name: &str, number: usize) -> String {
    let body = format!("line {number}\n\tindented $HOME\n# no comment\n\n");
    match random.below(4) {
        0 => format!("RUN <<EOF\n{body}EOF"),
        1 => format!("RUN <<-'END' cat > /{name}\n{body}\tEND"),
        2 => format!("COPY <<ONE <<\"TWO\" /etc/{name}/\n{body}ONE\nsecond\nTWO"),
        _ => format!("RUN python3 <<EOF > /{name} 2<<ERR\nprint({number})\nEOF\n{body}ERR"),
    }
}
