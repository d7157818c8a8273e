//! Which programs of other processors run here.

use std::fs;
use std::path::Path;

/// Whether programs for `architecture` (Go's names: `amd64`, `arm64`, …) run on this machine: it is
/// its own, or one that the kernel runs as well, or an interpreter is registered for it that needs
/// nothing inside the image (`binfmt_misc` with the flag `F`).
pub fn runs(architecture: &str) -> bool {
    native(architecture) || has_interpreter(Path::new("/proc/sys/fs/binfmt_misc"), architecture)
}

/// What kernels run beside their own: the 32-bit forms of the same processors.
fn native(architecture: &str) -> bool {
    match std::env::consts::ARCH {
        "x86_64" => matches!(architecture, "amd64" | "386"),
        "aarch64" => architecture == "arm64",
        own => own == architecture,
    }
}

fn has_interpreter(folder: &Path, architecture: &str) -> bool {
    let Some(header) = elf_header(architecture) else { return false };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.any(|text| takes(&text, &header))
}

/// Whether an entry of `binfmt_misc`, as the kernel prints it, is for files that begin like this.
fn takes(entry: &str, header: &[u8]) -> bool {
    let field = |name: &str| {
        let mut lines = entry.lines();
        lines.find_map(|line| line.strip_prefix(name).map(str::trim))
    };
    let opened_early = field("flags:").is_some_and(|flags| flags.contains('F'));
    if entry.lines().next() != Some("enabled") || !opened_early || field("offset") != Some("0") {
        return false;
    }
    let Some(magic) = field("magic").and_then(bytes) else { return false };
    let mask = field("mask").and_then(bytes).unwrap_or_else(|| vec![0xff; magic.len()]);
    let all = magic.iter().zip(&mask).zip(header);
    magic.len() <= header.len() && all.into_iter().all(|((m, k), byte)| m & k == byte & k)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<Vec<u8>>>()
        .filter(|bytes| !bytes.is_empty())
}

/// The first bytes of an executable (System V ABI, "ELF Header": `e_ident`, `e_type`, `e_machine`).
fn elf_header(architecture: &str) -> Option<[u8; 20]> {
    const NARROW: u8 = 1;
    const WIDE: u8 = 2;
    const LITTLE: u8 = 1;
    const BIG: u8 = 2;
    const EXECUTABLE: u16 = 2;
    let (class, order, machine): (u8, u8, u16) = match architecture {
        "386" => (NARROW, LITTLE, 3),
        "amd64" => (WIDE, LITTLE, 62),
        "arm" => (NARROW, LITTLE, 40),
        "arm64" => (WIDE, LITTLE, 183),
        "loong64" => (WIDE, LITTLE, 258),
        "mips64" => (WIDE, BIG, 8),
        "mips64le" => (WIDE, LITTLE, 8),
        "ppc64le" => (WIDE, LITTLE, 21),
        "riscv64" => (WIDE, LITTLE, 243),
        "s390x" => (WIDE, BIG, 22),
        _ => return None,
    };
    let number = |value: u16| match order {
        BIG => value.to_be_bytes(),
        _ => value.to_le_bytes(),
    };
    let mut header = [0; 20];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order, 1]);
    header[16..18].copy_from_slice(&number(EXECUTABLE));
    header[18..20].copy_from_slice(&number(machine));
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a kernel prints what `qemu-user-static` registers for arm64.
    const ARM64: &str = "\
enabled
interpreter /usr/bin/qemu-aarch64-static
flags: OCF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
";

    #[test]
    fn interpreters_by_what_they_take() {
        let header = |architecture| elf_header(architecture).unwrap();
        assert!(takes(ARM64, &header("arm64")));
        assert!(!takes(ARM64, &header("riscv64")));
        assert!(!takes(&ARM64.replace("enabled", "disabled"), &header("arm64")));
        // Without `F` the interpreter would have to be in the image.
        assert!(!takes(&ARM64.replace("OCF", "OC"), &header("arm64")));
        assert!(!takes("enabled\n", &header("arm64")));
    }

    #[test]
    fn the_own_architecture_runs() {
        let own = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        assert!(runs(own));
        assert!(!runs("pdp11"));
    }

    #[test]
    fn entries_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("status"), "enabled\n").unwrap();
        assert!(!has_interpreter(folder.path(), "arm64"));
        fs::write(folder.path().join("qemu-aarch64"), ARM64).unwrap();
        assert!(has_interpreter(folder.path(), "arm64"));
        assert!(!has_interpreter(&folder.path().join("none"), "arm64"));
    }
}
