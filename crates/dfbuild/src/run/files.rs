//! The files that every command finds in its root.

use std::path::PathBuf;

use dfbuild_image::TreePath;
use dfbuild_layer::View;
use dfbuild_sandbox::Mount;

/// What an image without `PATH` has, as with Docker.
pub(super) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The shells to look for, the most comfortable first.
const SHELLS: [&str; 6] =
    ["/bin/bash", "/usr/bin/bash", "/bin/ash", "/bin/sh", "/usr/bin/sh", "/busybox/sh"];

/// A shell of an image.
pub(super) fn shell(view: &View) -> Option<String> {
    let there = |path: &&str| {
        let resolved = view.resolve(&TreePath::new(path), true);
        resolved.is_ok_and(|it| it.found.is_some_and(|found| view.file(&found).is_some()))
    };
    SHELLS.into_iter().find(there).map(str::to_owned)
}

/// `/etc/hosts` of a command.
pub(crate) fn hosts(host_name: &str, more: &[(String, String)]) -> Vec<u8> {
    let mut text =
        format!("127.0.0.1\tlocalhost {host_name}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in more {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text.into_bytes()
}

/// A file of root's that can be written to.
pub(crate) fn file(target: PathBuf, content: Vec<u8>, mode: u32) -> Mount {
    Mount::File { target, content, mode, uid: 0, gid: 0, read_only: false }
}
