//! The same input gives the same bytes, in stores that know nothing of each other.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use dfbuild_testkit::{Bed, Image, Who, as_each_user, as_each_user_with_copies, run_or_skip};

as_each_user!(
    the_same_image_with_an_epoch,
    layers_without_a_clock,
    an_empty_run_is_an_empty_layer,
    any_number_of_jobs,
    what_run_made_and_copy_took,
    times_that_a_later_layer_took_over,
    copies_make_the_same_image_as_overlays,
    what_is_known_of_the_last_layer_does_not_show,
);

as_each_user_with_copies!(
    the_same_image_with_an_epoch,
    an_empty_run_is_an_empty_layer,
    any_number_of_jobs,
    what_run_made_and_copy_took,
);

/// The diff id of an archive with nothing but its end.
const EMPTY: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// Fills a bed, builds the image `app` there and returns it.
fn build(bed: &Bed, dockerfile: &str, epoch: Option<&str>, args: &[&str]) -> Image {
    const THEN: u64 = 1_600_000_000;
    bed.base();
    bed.write("Dockerfile", dockerfile);
    bed.write("file", "content\n");
    bed.write("folder/deep/a", "a\n");
    bed.write("folder/b", "b\n");
    let tar = [
        // One file called `packed`, mode 644, at time 1500000000, then the end of the archive.
        tar_header("packed", 2, 1_500_000_000),
        b"p\n".iter().copied().chain([0; 510]).collect(),
        vec![0; 1024],
    ];
    bed.write("archive.tar", tar.concat());
    bed.set_times(THEN);
    let mut command = bed.build_command(&[&["-t", "app"], args].concat());
    if let Some(epoch) = epoch {
        command.env("SOURCE_DATE_EPOCH", epoch);
    }
    let outcome: dfbuild_testkit::Outcome = command.output().unwrap().into();
    let _ = outcome.succeeds();
    bed.image("app")
}

/// Layer by layer first, so that a failure names the instruction.
fn same(left: &Image, right: &Image) {
    for (left, right) in left.layers.iter().zip(&right.layers) {
        assert_eq!(left, right);
    }
    assert_eq!(left.config, right.config);
    assert_eq!(left.digest, right.digest);
}

/// Files enough for several blocks: the first layer has its files looked into, the second has not.
fn write_project(bed: &Bed, version: usize) {
    let lines = |seed: usize, count: usize| {
        let number = |n: usize| (n * (seed + 3)).wrapping_mul(2_654_435_761) % 999_983;
        (0..count).map(|n| format!("{:x}\n", number(n))).collect::<Vec<_>>().concat()
    };
    for n in 0..120 {
        let seed = if n == 60 { 1000 + version } else { n };
        bed.write(&format!("folder/d{}/f{n}", n % 7), lines(seed, 1500));
    }
    bed.write("folder/large", lines(5, 200_000));
    if version == 2 {
        bed.write("folder/d3/new", "new\n");
        bed.write("folder/large", lines(6, 150_000));
    }
}

fn what_is_known_of_the_last_layer_does_not_show(bed: &Bed) {
    const DOCKERFILE: &str = "FROM base\nCOPY folder /app\nRUN true\nCOPY folder /other\n";
    for version in 0..3 {
        write_project(bed, version);
        let _ = build(bed, DOCKERFILE, None, &[]);
    }
    for epoch in [None, Some("1500000000")] {
        let built = build(bed, DOCKERFILE, epoch, &[]);
        let plain = bed.another();
        write_project(&plain, 2);
        let expected = build(&plain, DOCKERFILE, epoch, &["--no-fast-paths"]);
        // Without an epoch the configuration says when it was built.
        assert_eq!(built.layers, expected.layers);
        if epoch.is_some() {
            same(&built, &expected);
        }
    }
}

/// The header of a regular file as POSIX.1-1988 has it.
fn tar_header(name: &str, size: u64, time: u64) -> Vec<u8> {
    let mut header = vec![0_u8; 512];
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, &format!("{time:011o}\0"));
    put(148, "        0");
    put(257, "ustar\x0000");
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

const ALL_KINDS: &str = "FROM base
WORKDIR /srv/app
COPY file folder ./
COPY --chown=1:2 --chmod=640 file /else/where/
COPY <<EOF /etc/heredoc
text
EOF
ADD archive.tar /packed/
RUN mkdir /made && echo x > /made/x && ln /made/x /made/y && ln -s x /made/z && rm /etc/heredoc
RUN true
";

fn the_same_image_with_an_epoch(bed: &Bed) {
    let first = build(bed, ALL_KINDS, Some("1700000000"), &[]);
    let second = build(&bed.another(), ALL_KINDS, Some("1700000000"), &[]);
    same(&first, &second);
    let other = build(&bed.another(), ALL_KINDS, Some("1700000001"), &[]);
    assert_ne!(first.digest, other.digest);
}

fn layers_without_a_clock(bed: &Bed) {
    let dockerfile: String = ALL_KINDS
        .lines()
        .filter(|line| !line.starts_with("RUN"))
        .map(|l| l.to_owned() + "\n")
        .collect();
    let first = build(bed, &dockerfile, None, &[]);
    let second = build(&bed.another(), &dockerfile, None, &[]);
    assert_eq!(first.layers, second.layers);
    // Beside RUN, whose output has times of its own, they are the same as well.
    let with_run = build(&bed.another(), ALL_KINDS, None, &[]);
    for of in ["WORKDIR", "COPY file folder", "COPY --chown", "COPY <<EOF", "ADD"] {
        assert_eq!(first.layer(of).digest, with_run.layer(of).digest, "{of}");
    }
}

fn an_empty_run_is_an_empty_layer(bed: &Bed) {
    let image = build(bed, "FROM base\nRUN true\n", None, &[]);
    assert_eq!(image.layers.last().unwrap().diff_id, EMPTY);
}

fn any_number_of_jobs(bed: &Bed) {
    let stages = "FROM base AS a\nRUN echo a > /a\nFROM base AS b\nCOPY folder /b\nFROM base AS c\n\
                  COPY --from=b /b /c\nFROM a\nCOPY --from=b /b /b\nCOPY --from=c /c /c\n";
    let one = build(bed, stages, Some("1700000000"), &["-j", "1"]);
    let many = build(&bed.another(), stages, Some("1700000000"), &["-j", "8"]);
    same(&one, &many);
}

/// The map of ids is no part of what comes out.
#[test]
fn mapped_and_single_id_users_make_the_same_image() {
    run_or_skip("mapped_and_single_id_users_make_the_same_image", || {
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_dfbuild"));
        let beds = [
            Bed::new(binary, Who::Caller)?,
            Bed::new(binary, Who::Mapped)?,
            Bed::new(binary, Who::SingleId)?,
        ];
        let dockerfile =
            "FROM base\nWORKDIR /srv\nCOPY file folder ./\nRUN echo x > x && chmod 600 x\n";
        let images = beds.each_ref().map(|bed| build(bed, dockerfile, Some("1700000000"), &[]));
        same(&images[0], &images[1]);
        same(&images[0], &images[2]);
        Ok(())
    });
}

/// A time from the clock of the first build must not get into the second image by way of a stage.
fn what_run_made_and_copy_took(bed: &Bed) {
    let dockerfile = "FROM base AS made\nRUN echo x > /x && mkdir /y && echo z > /y/z\n\
                      FROM base\nCOPY --from=made /x /y /\n";
    let first = build(bed, dockerfile, Some("1700000000"), &[]);
    let second = bed.another();
    in_another_second();
    let second = build(&second, dockerfile, Some("1700000000"), &[]);
    same(&first, &second);
}

/// The clock of the files has whole seconds: waits until the next one, so that times would differ.
fn in_another_second() {
    let second_of =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = second_of();
    dfbuild_testkit::eventually("another second has begun", || second_of() > now);
}

/// A directory is in the layer of whatever changes in it, with the time that it had.
fn times_that_a_later_layer_took_over(bed: &Bed) {
    let dockerfile = "FROM base\nRUN mkdir -p /d/e && echo x > /d/e/x\n\
                      RUN i=$(cut -d. -f1 /proc/uptime); while [ $(cut -d. -f1 /proc/uptime) -lt $((i+2)) ]; do sleep 0.1; done\n\
                      RUN chmod 600 /d/e/x\nCOPY file /d/e/x\n";
    let first = build(bed, dockerfile, Some("1700000000"), &[]);
    in_another_second();
    let second = build(&bed.another(), dockerfile, Some("1700000000"), &[]);
    same(&first, &second);
}

/// Everything that commands do to files, and what is mounted for them. Overlays take the hard links of
/// layers apart, so none is changed by a later command.
const ALL_CHANGES: &str = "FROM base AS other
RUN mkdir -p /tree/deep && echo t > /tree/deep/file && ln -s deep/file /tree/link
FROM base
COPY folder /old/folder
COPY file /old/file
RUN echo new > /new && mkdir /made && echo x > /made/x && ln /made/x /made/y && ln -s x /made/z
RUN rm /old/file && rm -r /old/folder/deep && mkdir /old/folder/deep && echo again > /old/folder/deep/c
COPY file /old/back
RUN chmod 750 /old && chmod 600 /old/back && cat /new > /newer && touch /new && mv /new /old/new && mkfifo /pipe
RUN chown 1:2 /pipe && chown ann /made || true
RUN cp -p /old/back /same && cp -p /same /old/back && touch /gone && rm /gone
WORKDIR /where/there/was/nothing
RUN --mount=type=secret,id=s,required --mount=type=tmpfs,target=/scratch cat /run/secrets/s > s && echo x > /scratch/x
RUN --mount=type=bind,from=other,source=/tree,target=/mnt/tree cat /mnt/tree/link > bound
RUN --mount=type=bind,from=other,source=/tree,target=/mnt/tree,rw echo lost > /mnt/tree/deep/file && cat /mnt/tree/link
RUN --mount=type=bind,from=other,source=/tree/deep/file,target=/one cat /one > one
RUN --mount=type=cache,target=/var/cache/it echo kept > /var/cache/it/file && mkdir /var/cache/made
USER ann
RUN id -u > /tmp/id || true
";

fn copies_make_the_same_image_as_overlays(bed: &Bed) {
    let secret = bed.join("out/secret");
    std::fs::write(&secret, "hidden").unwrap();
    bed.own(&bed.join("out"));
    let secret = format!("id=s,src={}", secret.display());
    let args = ["--secret", secret.as_str()];
    let overlays = build(bed, ALL_CHANGES, Some("1700000000"), &args);
    let copies = build(&bed.another().with_copies(), ALL_CHANGES, Some("1700000000"), &args);
    same(&overlays, &copies);
}
