//! Writing and reading archives.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_layer::archive::{Compression, MemberKind, decompress, detect, members};
use dfbuild_layer::{Contents, Directory, Error, Index, Limits, diff_id, index, pack};

/// Contents that say what their path is.
struct Names;

impl Contents for Names {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(io::Cursor::new(entry.path.as_bytes().to_vec())))
    }
}

fn file(path: impl Into<TreePath>) -> Entry {
    let path = path.into();
    let content = path.as_bytes();
    let kind = Kind::File { size: content.len() as u64, digest: Digest::of(content) };
    Entry::new(path, kind, 0o644, 1_700_000_000)
}

fn at(path: &[u8], kind: Kind, mode: u32) -> Entry {
    Entry::new(TreePath::new(path), kind, mode, 1_700_000_000)
}

/// One entry of each kind, and of each reason for a PAX record.
fn everything() -> Index {
    let long = [b"d/".repeat(80), b"file".to_vec()].concat();
    let mut owner = file("owner");
    (owner.uid, owner.gid) = (4_000_000, u32::MAX);
    let mut early = file("early");
    early.mtime = -5;
    let mut capable = file("capable");
    capable.capability = Some(b"\x01\0\0\x02\n\0=\xff\n".to_vec());
    Index::new(vec![
        Entry::new("", Kind::DIRECTORY, 0o755, 0),
        at(b"device", Kind::CharDevice { major: 1, minor: 3 }, 0o666),
        at(b"block", Kind::BlockDevice { major: 259, minor: 1 << 18 }, 0o600),
        at(b"dir", Kind::Directory { opaque: true }, 0o1777),
        file("dir/file"),
        at(b"dir/link", Kind::HardLink { target: "dir/file".into() }, 0o644),
        at(b"dir/symlink", Kind::Symlink { target: b"/../x".to_vec() }, 0o777),
        at(b"dir/long", Kind::Symlink { target: b"x/".repeat(60) }, 0o777),
        at(b"fifo", Kind::Fifo, 0o644),
        Entry::whiteout("gone"),
        Entry::whiteout(TreePath::new(&long[..150]).join("gone")),
        Entry::whiteout(TreePath::new([b'w'; 200])),
        file(TreePath::new(&long)),
        file(TreePath::new("na\u{ef}ve")),
        file(TreePath::new(b"bytes\xff\nline")),
        at("\u{e9}t\u{e9}".as_bytes(), Kind::DIRECTORY, 0o700),
        Entry { mode: 0o6755, ..file("setuid") },
        owner,
        early,
        capable,
    ])
    .unwrap()
}

fn tar(index: &Index) -> Vec<u8> {
    let mut tar = Vec::new();
    pack(index, &Names, &mut tar).unwrap();
    tar
}

#[test]
fn the_empty_layer_is_the_well_known_one() {
    let id = diff_id(&Index::new(vec![]).unwrap(), &Names).unwrap();
    let text = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    assert_eq!(id.to_string(), text);
}

#[test]
fn header_is_laid_out_as_go_does() {
    let index = Index::new(vec![Entry { uid: 1000, gid: 33, ..file("abc") }]).unwrap();
    let tar = tar(&index);
    assert_eq!(tar.len(), 512 + 512 + 1024);
    let expect = |at: usize, text: &[u8]| assert_eq!(&tar[at..at + text.len()], text, "{at}");
    expect(0, b"abc\0");
    expect(100, b"0000644\x000001750\x000000041\x0000000000003\x0014524770400\0");
    // The checksum has six digits, a zero and a space.
    assert_eq!(&tar[154..156], b"\0 ");
    expect(156, b"0\0");
    expect(257, b"ustar\x0000\0");
    expect(329, b"0000000\x000000000\0");
    expect(512, b"abc\0");
}

#[test]
fn order_names_and_markers() {
    let archive = tar(&everything());
    let mut members = members(archive.as_slice());
    let mut names = Vec::new();
    while let Some(member) = members.advance().unwrap() {
        names.push(String::from_utf8_lossy(&member.name).into_owned());
    }
    let short: Vec<&str> = names.iter().map(String::as_str).filter(|n| n.len() < 60).collect();
    let expect = [
        "./",
        "block",
        "bytes\u{fffd}\nline",
        "capable",
        "device",
        "dir/",
        "dir/.wh..wh..opq",
        "dir/file",
        "dir/link",
        "dir/long",
        "dir/symlink",
        "early",
        "fifo",
        ".wh.gone",
        "naïve",
        "owner",
        "setuid",
        "été/",
    ];
    assert_eq!(short.iter().filter(|n| !n.starts_with("d/")).copied().collect::<Vec<_>>(), expect);
}

#[test]
fn what_is_packed_reads_back_equal() {
    let packed = everything();
    let archive = tar(&packed);
    let read = index(&mut archive.as_slice(), &Limits::default()).unwrap();
    assert_eq!(read, packed);
    assert_eq!(tar(&read), archive);
}

#[test]
fn changed_files_are_noticed() {
    struct Fixed(&'static [u8]);
    impl Contents for Fixed {
        fn open(&self, _: &Entry) -> io::Result<Box<dyn Read + '_>> {
            Ok(Box::new(self.0))
        }
    }
    let index = Index::new(vec![file("abc")]).unwrap();
    for content in [&b"ab"[..], b"abcd", b"abd", b""] {
        let result = pack(&index, &Fixed(content), &mut io::sink());
        assert!(matches!(result, Err(Error::Changed { path }) if path == "abc".into()));
    }
    assert!(pack(&index, &Fixed(b"abc"), &mut io::sink()).is_ok());
}

#[test]
fn contents_do_not_come_through_links() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("real")).unwrap();
    std::fs::write(dir.path().join("real/file"), "x").unwrap();
    std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink("real/file", dir.path().join("file")).unwrap();
    let contents = Directory::new(dir.path());
    assert!(contents.open(&file("real/file")).is_ok());
    assert!(contents.open(&file("link/file")).is_err());
    assert!(contents.open(&file("file")).is_err());
}

fn available(command: &str) -> bool {
    let run = Command::new(command).arg("--version").stdin(Stdio::null()).output();
    let available = run.is_ok_and(|run| run.status.success());
    if !available {
        println!("SKIPPED: there is no {command}");
    }
    available
}

fn feed(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the command runs");
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A reader of tar may stop before the last block.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success());
    output.stdout
}

#[test]
fn gnu_tar_reads_what_we_write() {
    if !available("tar") {
        return;
    }
    let listing = feed(Command::new("tar").args(["--utc", "-tvf", "-"]), &tar(&everything()));
    let listing = String::from_utf8_lossy(&listing);
    for expect in ["-rwsr-sr-x 0/0", "crw-rw-rw- 0/0", "4000000/4294967295", "1969-12-31 23:59"] {
        assert!(listing.contains(expect), "{expect} in\n{listing}");
    }
}

#[test]
fn python_reads_what_we_write() {
    if !available("python3") {
        return;
    }
    let script = "import sys,tarfile\n\
        t=tarfile.open(fileobj=sys.stdin.buffer,mode='r|',errors='surrogateescape')\n\
        for m in t: print(m.size,m.mode,m.uid,int(m.mtime),m.type.decode())";
    let printed = feed(Command::new("python3").args(["-c", script]), &tar(&everything()));
    // One line each, and one for the marker of the opaque directory.
    let lines = String::from_utf8(printed).unwrap().lines().count();
    assert_eq!(lines, everything().entries().len() + 1);
}

/// GNU tar's formats, with long names, links and holes.
#[test]
fn we_read_what_gnu_tar_writes() {
    if !available("tar") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let long = "n".repeat(180);
    std::fs::write(dir.path().join("a"), "content").unwrap();
    std::fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    std::os::unix::fs::symlink(&long, dir.path().join("link")).unwrap();
    std::fs::write(dir.path().join(&long), "long").unwrap();
    let sparse = std::fs::File::create(dir.path().join("sparse")).unwrap();
    for hole in 1..40 {
        use std::os::unix::fs::FileExt;
        sparse.write_at(b"data", hole * 100_000).unwrap();
    }
    sparse.set_len(5_000_000).unwrap();
    let expect = Digest::of(std::fs::read(dir.path().join("sparse")).unwrap());
    for format in [
        &["--format=gnu"][..],
        &["--format=pax"],
        &["--format=gnu", "--sparse"],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--sparse", "--sparse-version=1.0"],
    ] {
        let mut command = Command::new("tar");
        command.args(format).arg("-C").arg(dir.path()).args(["-cf", "-", "."]);
        let tar = command.output().unwrap().stdout;
        let index = index(&mut tar.as_slice(), &Limits::default()).unwrap();
        let get = |path: &str| index.get(&path.into()).unwrap().kind.clone();
        assert_eq!(get("sparse"), Kind::File { size: 5_000_000, digest: expect }, "{format:?}");
        assert_eq!(get("a"), Kind::File { size: 7, digest: Digest::of("content") });
        assert_eq!(get("b"), Kind::HardLink { target: "a".into() });
        assert_eq!(get("link"), Kind::Symlink { target: long.clone().into_bytes() });
        assert_eq!(get(&long), Kind::File { size: 4, digest: Digest::of("long") });
    }
}

#[test]
fn truncated_and_damaged_archives_are_errors() {
    let whole = tar(&Index::new(vec![file("some/file"), file("x")]).unwrap());
    for cut in [100, 511, 515] {
        let result = index(&mut &whole[..cut], &Limits::default());
        assert!(result.is_err(), "{cut}");
    }
    // Without its end it is whole all the same, as for Go.
    assert!(index(&mut &whole[..1024], &Limits::default()).is_ok());
    let mut damaged = whole.clone();
    damaged[120] ^= 1;
    assert!(matches!(
        index(&mut damaged.as_slice(), &Limits::default()),
        Err(Error::Malformed { .. })
    ));
}

#[test]
fn members_skip_what_is_not_read() {
    let archive = tar(&Index::new(vec![file("a"), file("b/c"), file("d")]).unwrap());
    let mut members = members(archive.as_slice());
    let first = members.advance().unwrap().unwrap();
    assert_eq!(first.kind, MemberKind::File { size: 1 });
    members.advance().unwrap().unwrap();
    let mut content = String::new();
    members.read_to_string(&mut content).unwrap();
    assert_eq!(content, "b/c");
    assert_eq!(members.advance().unwrap().unwrap().name, b"d");
    assert!(members.advance().unwrap().is_none());
}

#[test]
fn too_much_is_refused() {
    let archive = tar(&everything());
    let entries = Limits { entries: 5, ..Limits::default() };
    assert!(matches!(index(&mut archive.as_slice(), &entries), Err(Error::Bomb { .. })));
}

#[test]
fn compressions_are_detected_and_read() {
    let archive = tar(&everything());
    assert_eq!(detect(&archive), Some(Compression::Plain));
    assert_eq!(detect(b"plain text"), None);
    assert_eq!(detect(&[0; 512]), None);
    for (command, compression) in [
        ("gzip", Compression::Gzip),
        ("zstd", Compression::Zstd),
        ("bzip2", Compression::Bzip2),
        ("xz", Compression::Xz),
    ] {
        if !available(command) {
            continue;
        }
        let half = archive.len() / 2;
        let mut packed = feed(Command::new(command).arg("-c"), &archive[..half]);
        packed.extend(feed(Command::new(command).arg("-c"), &archive[half..]));
        assert_eq!(detect(&packed), Some(compression));
        let mut unpacked = Vec::new();
        decompress(compression, Box::new(&packed[..])).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, archive, "{command}");
        let cut = decompress(compression, Box::new(&packed[..packed.len() - 3]));
        assert!(io::copy(&mut { cut }, &mut io::sink()).is_err(), "{command}");
    }
}
