//! Scripts whose interpreter is not there, of which the kernel says that they are not there themselves.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dfbuild_image::TreePath;
use dfbuild_layer::{Directory, View};
use dfbuild_sandbox::{Mount, Spec};

/// What to do about a script that the command names and that cannot be executed for its first line. Whoever
/// asks knows that something could not be executed (126, 127).
pub(crate) fn hint(view: &View, spec: &Spec) -> Option<String> {
    let args: Vec<&str> = spec.args.iter().filter_map(|arg| arg.to_str()).collect();
    let root = Root { view, spec };
    programs(&args).into_iter().find_map(|name| {
        let (path, line) = root.find(name)?;
        root.problem(&path, &line)
    })
}

/// The names of the programs that a command begins with: its own, and those that a shell is told to run.
fn programs<'a>(args: &[&'a str]) -> Vec<&'a str> {
    const BEFORE_A_PROGRAM: [&str; 9] =
        ["do", "else", "env", "exec", "if", "sudo", "then", "time", "while"];
    let is_flag = |arg: &&&str| arg.starts_with('-') && arg.ends_with('c');
    let script = args.iter().skip_while(|arg| !is_flag(arg)).nth(1);
    let commands =
        script.into_iter().flat_map(|script| script.split(['&', '|', ';', '\n', '(', '{']));
    let program = |command: &'a str| {
        let mut words = command.split_whitespace();
        let name = words.find(|word| !word.contains('=') && !BEFORE_A_PROGRAM.contains(word));
        name.map(|name| name.trim_matches(['"', '\'']))
    };
    args.first().copied().into_iter().chain(commands.filter_map(program)).collect()
}

/// The files that a command sees, as far as they are looked at.
struct Root<'a> {
    view: &'a View,
    spec: &'a Spec,
}

impl Root<'_> {
    /// Where a program is, and what is behind `#!` in it.
    fn find(&self, name: &str) -> Option<(TreePath, Vec<u8>)> {
        let mut variables = self.spec.env.iter().rev().filter_map(|variable| variable.to_str());
        let path = variables.find_map(|variable| variable.strip_prefix("PATH="));
        let folders: Vec<&str> = match path {
            _ if name.contains('/') => vec![""],
            Some(path) => path.split(':').collect(),
            None => Vec::new(),
        };
        let mut paths = folders.into_iter().map(|folder| self.path(&Path::new(folder).join(name)));
        paths.find_map(|path| Some((path.clone(), self.first_line(&path)?)))
    }

    fn path(&self, path: &Path) -> TreePath {
        TreePath::from(&*self.spec.cwd.join(path))
    }

    fn problem(&self, script: &TreePath, line: &[u8]) -> Option<String> {
        let line = String::from_utf8_lossy(line);
        if let Some(line) = line.strip_suffix('\r') {
            return Some(format!(
                "{script} is there, but with the line ends of Windows: what is looked for is `{line}\\r`. \
                 Convert it (`dos2unix`, or `RUN sed -i 's/\\r$//' {script}`), and have git leave it so: \
                 `*.sh text eol=lf` in .gitattributes"
            ));
        }
        let interpreter = line.split_whitespace().next()?;
        (!self.has(&self.path(Path::new(interpreter)))).then(|| {
            format!(
                "{script} is there, but not the interpreter that its first line names: install \
                 {interpreter}, or name one that is there"
            )
        })
    }

    /// What is behind `#!` in the first line of a script that may be executed.
    fn first_line(&self, path: &TreePath) -> Option<Vec<u8>> {
        /// The kernel reads no more (`BINPRM_BUF_SIZE`).
        const LONGEST: u64 = 256;
        let mounted = self.spec.mounts.iter().find_map(|mount| match mount {
            Mount::File { target, content, .. } if TreePath::from(&**target) == *path => {
                Some(content.clone())
            }
            _ => None,
        });
        let read = || {
            let (file, mut bytes) = (self.open(path).ok()?, Vec::new());
            let may_run = file.metadata().ok()?.mode() & 0o111 != 0;
            file.take(LONGEST).read_to_end(&mut bytes).ok()?;
            may_run.then_some(bytes)
        };
        let bytes = mounted.or_else(read)?;
        Some(bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?.to_vec())
    }

    /// Whether there is something, as far as it can be told.
    fn has(&self, path: &TreePath) -> bool {
        let mut targets = self.spec.mounts.iter().map(|mount| TreePath::from(&**mount.target()));
        let is_missing = || self.open(path).is_err_and(|it| it.kind() == ErrorKind::NotFound);
        targets.any(|target| path.starts_with(&target)) || !is_missing()
    }

    /// What the command wrote comes before what was there.
    fn open(&self, path: &TreePath) -> io::Result<File> {
        let resolved = self.view.resolve(path, true).map_err(io::Error::other)?;
        let below = self.spec.lower.iter().rev().filter(|_| resolved.found.is_some());
        let mut folders = std::iter::once(&self.spec.upper).chain(below);
        let opened = folders.find_map(|folder| {
            let opened = Directory::new(folder).open_file(&resolved.path);
            let is_missing = opened.as_ref().is_err_and(|it| it.kind() == ErrorKind::NotFound);
            (!is_missing).then_some(opened)
        });
        opened.unwrap_or_else(|| Err(ErrorKind::NotFound.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs() {
        for (args, expect) in [
            (&["/x.sh", "a"][..], &["/x.sh"][..]),
            (&["/bin/sh", "-c", "A=1 ./a b&& 'c' | exec d"], &["/bin/sh", "./a", "c", "d"]),
            (&["bash", "-eo", "pipefail", "-c", "if a; then b; fi"], &["bash", "a", "b", "fi"]),
            (&["/bin/sh", "-c"], &["/bin/sh"]),
            (&[], &[]),
        ] {
            assert_eq!(programs(args), expect);
        }
    }
}
