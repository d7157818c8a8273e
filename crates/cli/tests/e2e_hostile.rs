//! Archives and images that mean harm: nothing gets out of the image, and nothing is lost.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;

use dfbuild_testkit::{Bed, Skipped, as_each_user, image_layout, run};
use tar::EntryType::{Block, Char, Directory as Dir, Link, Regular as Reg, Symlink as Sym};

as_each_user!(
    archives_of_add_stay_inside,
    layers_of_a_base_stay_inside,
    mount_targets_stay_inside,
    devices_of_archives,
    a_change_that_keeps_size_and_time_is_noticed,
);

/// Name, type, where a link leads to, content.
type Member<'a> = (&'a str, tar::EntryType, &'a str, &'a str);

/// An archive as no honest tool writes it: names and links are taken as they are.
fn archive(members: &[Member<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, kind, target, content) in members {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if *kind == Dir { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        let links = &mut header.as_gnu_mut().unwrap().linkname;
        links[..target.len()].copy_from_slice(target.as_bytes());
        if matches!(*kind, Char | Block) {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        archive.append(&header, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Ways out, each of which ends in writing a file `escaped` in the folder that `@` stands for.
const BREAKOUTS: [&[Member<'_>]; 10] = [
    &[("../../../../../../../../@/escaped", Reg, "", "x")],
    &[("@/escaped", Reg, "", "x")],
    &[("out", Sym, "@", ""), ("out/escaped", Reg, "", "x")],
    &[("out", Sym, "../../../../../../../../@", ""), ("out/escaped", Reg, "", "x")],
    &[("a/", Dir, "", ""), ("a/b", Sym, "..", ""), ("a/b/../../@/escaped", Reg, "", "x")],
    &[("out", Sym, "@/escaped", ""), ("out", Reg, "", "x")],
    &[("out", Sym, "@", ""), ("hard", Link, "out/victim", ""), ("hard", Reg, "", "x")],
    &[("hard", Link, "@/victim", ""), ("hard", Reg, "", "x")],
    &[("hard", Link, "../../../../../../@/victim", ""), ("hard", Reg, "", "x")],
    &[("out", Sym, "@", ""), ("out/.wh.victim", Reg, "", ""), ("out/escaped", Reg, "", "x")],
];

/// A folder beside the store that must stay as it is.
fn victim(bed: &Bed) -> String {
    let folder = bed.join("victim");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("victim"), "unharmed").unwrap();
    bed.own(&folder);
    folder.to_str().unwrap().to_owned()
}

fn is_unharmed(folder: &str, what: &str) {
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["victim"], "{what}");
    assert_eq!(fs::read_to_string(Path::new(folder).join("victim")).unwrap(), "unharmed", "{what}");
}

/// The members with `@` replaced.
fn aimed<'a>(
    members: &[Member<'a>],
    folder: &str,
) -> Vec<(String, tar::EntryType, String, &'a str)> {
    let aim = |text: &str| text.replace("@/", &format!("{folder}/")).replace('@', folder);
    // A name has no room for a long path after a slash.
    let aimed = members.iter().map(|(name, kind, to, content)| {
        (aim(name).replace("//", "/"), *kind, aim(to).replace("//", "/"), *content)
    });
    aimed.collect()
}

fn bytes(members: &[(String, tar::EntryType, String, &str)]) -> Vec<u8> {
    let members: Vec<Member<'_>> =
        members.iter().map(|(name, kind, to, content)| (&**name, *kind, &**to, *content)).collect();
    archive(&members)
}

/// Looks at every way out: whether the build takes it or not, nothing outside changes.
fn try_all(bed: &Bed, attempt: impl Fn(&[u8], &str)) {
    let folder = victim(bed);
    for members in BREAKOUTS {
        let what = format!("{members:?}");
        attempt(&bytes(&aimed(members, &folder)), &what);
        is_unharmed(&folder, &what);
    }
}

fn archives_of_add_stay_inside(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile", "FROM base\nADD evil.tar /\nADD evil.tar /some/where/\nRUN true\n");
    try_all(bed, |tar, what| {
        bed.write("evil.tar", tar);
        let built = bed.build(&["-o", &format!("type=local,dest={}", bed.join("out/o").display())]);
        assert!(matches!(built.code, Some(0 | 1)), "{what}: {}", built.stderr);
        assert!(!built.stderr.contains("panicked"), "{what}: {}", built.stderr);
        let _ = fs::remove_dir_all(bed.join("out/o"));
    });
    let staged = fs::read_dir(bed.store().join("staging")).unwrap().count();
    assert_eq!(staged, 0);
}

/// An image layout with one layer, made by no code of ours.
fn layout(bed: &Bed, tar: &[u8]) -> Result<String, Skipped> {
    let layout = bed.join("layout");
    let _ = fs::remove_dir_all(&layout);
    let archive = bed.join("layer.tar");
    fs::write(&archive, tar).unwrap();
    image_layout(&layout, &[archive])?;
    bed.own(&layout);
    Ok(format!("evil=oci-layout://{}", layout.display()))
}

fn layers_of_a_base_stay_inside(bed: &Bed) -> Result<(), Skipped> {
    bed.base();
    // Looking into it, unpacking it and writing on top of it.
    bed.write(
        "Dockerfile",
        "FROM base AS look\nRUN --mount=from=evil,target=/evil ls -R /evil > /dev/null\n\
         FROM evil\nCOPY --from=look /bin/busybox /out/escaped\nCOPY file /hard\n",
    );
    bed.write("file", "x");
    let skipped = std::cell::Cell::new(None);
    try_all(bed, |tar, what| match layout(bed, tar) {
        Ok(context) => {
            let output = format!("type=local,dest={}", bed.join("out/o").display());
            let built = bed.build(&["--build-context", &context, "-o", &output]);
            assert!(matches!(built.code, Some(0 | 1)), "{what}: {}", built.stderr);
            assert!(!built.stderr.contains("panicked"), "{what}: {}", built.stderr);
            let _ = fs::remove_dir_all(bed.join("out/o"));
        }
        Err(reason) => skipped.set(Some(reason)),
    });
    skipped.take().map_or(Ok(()), Err)
}

fn mount_targets_stay_inside(bed: &Bed) {
    bed.base();
    let folder = victim(bed);
    // Links where RUN mounts something, and where the image names a working directory or a cache.
    bed.write(
        "Dockerfile",
        format!(
            "FROM base AS evil\nRUN rm -rf /etc/resolv.conf /etc/hosts /proc /sys /dev /tmp; \
             ln -s {folder}/escaped /etc/resolv.conf; ln -s {folder}/victim /etc/hosts; \
             ln -s {folder} /work; ln -s {folder} /cache; ln -s ../../../../../..{folder} /up; true\n\
             FROM evil\nWORKDIR /work/escaped\n\
             RUN --mount=type=cache,target=/cache/escaped --mount=type=tmpfs,target=/up/escaped \
             echo x > /cache/escaped/x; echo x > /work/escaped/y; cat /etc/hosts > /dev/null\n\
             COPY file /work/copied\n"
        ),
    );
    bed.write("file", "x");
    let built = bed.build(&["-t", "app"]);
    assert!(matches!(built.code, Some(0 | 1)), "{}", built.stderr);
    assert!(!built.stderr.contains("panicked"), "{}", built.stderr);
    is_unharmed(&folder, &built.stderr);
}

fn devices_of_archives(bed: &Bed) -> Result<(), Skipped> {
    bed.base();
    bed.write("dev.tar", archive(&[("null", Char, "", ""), ("disk", Block, "", "")]));
    bed.write("Dockerfile", "FROM base\nADD dev.tar /d/\nRUN ls /d\n");
    let archive = bed.join("out/app.tar");
    let output = format!("type=tar,dest={}", archive.display());
    let _ = bed.build(&["-o", &output]).succeeds();
    // They are in the image, whoever built it; nobody can open them while it is built.
    let listed = run("tar", &["-tvf", archive.to_str().unwrap(), "d/"])?;
    let kinds: Vec<_> = listed.lines().filter_map(|line| line.chars().next()).collect();
    assert_eq!(kinds, ['d', 'b', 'c'], "{listed}");
    bed.write("Dockerfile", "FROM base\nADD dev.tar /d/\nRUN cat /d/disk > /dev/null\n");
    // Where devices cannot be made an empty file takes their place while it is built.
    let code = i32::from(bed.who().is_root());
    let built = bed.build(&[]).exits_with(code);
    assert!(code == 0 || built.stderr.contains("exit code: 1"), "{}", built.stderr);
    Ok(())
}

fn a_change_that_keeps_size_and_time_is_noticed(bed: &Bed) {
    bed.base();
    bed.write("file", "old");
    bed.write("Dockerfile", "FROM base\nCOPY file /file\n");
    let _ = bed.build(&["-t", "app"]).succeeds();
    // The inode's own time tells.
    let path = bed.context().join("file");
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "new").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    let built = bed.build(&["-t", "app"]).succeeds();
    assert_eq!(built.ran_steps(), ["COPY file /file"], "{}", built.stderr);
}
