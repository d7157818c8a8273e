//! Stores that more than one user writes to.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What root should know before it builds in the store of another user.
pub(crate) fn of_another(root: &Path) -> Option<String> {
    let owner = owner(root)?;
    let is_root = rustix::process::geteuid().is_root();
    let foreign = is_root && owner != 0;
    foreign.then(|| {
        let (store, owner) = (root.display(), name(owner));
        format!(
            "the store {store} belongs to {owner}: what root writes there {owner} cannot change; \
             --root DIR or DFBUILD_ROOT names another one"
        )
    })
}

/// What to do where a store does not let this process write.
pub(crate) fn hint(error: &dfbuild_store::Error) -> Option<String> {
    match error {
        dfbuild_store::Error::Io { path, source, .. }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            hint_for(path, rustix::process::geteuid().as_raw(), &owner)
        }
        _ => None,
    }
}

fn hint_for(path: &Path, me: u32, owner: &dyn Fn(&Path) -> Option<u32>) -> Option<String> {
    let store = path.ancestors().find(|folder| folder.join("oci-layout").is_file())?;
    if owner(store)? != me {
        return Some(
            "the store belongs to another user: --root DIR or DFBUILD_ROOT names one of your own"
                .to_owned(),
        );
    }
    // In a user namespace nobody can tell whose it is.
    let refusing = path.ancestors().find_map(|path| Some((path, owner(path)?)))?;
    let (path, _) = Some(refusing).filter(|(_, owner)| *owner != me)?;
    let store = store.display();
    // Unpacked layers have the owners of the image; they are made again.
    Some(format!(
        "{} belongs to another user, who built in this store, such as root: `sudo rm -r \
         {store}/snapshots; sudo chown -R --from=root \"$USER\" {store}` gives it back",
        path.display()
    ))
}

fn owner(path: &Path) -> Option<u32> {
    Some(fs::symlink_metadata(path).ok()?.uid())
}

/// The name of a user of this machine, else the number.
fn name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_not_write_learns_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("records")).unwrap();
        let path = root.join("records/11");
        let of_root =
            |path: &Path| path.exists().then(|| if path.ends_with("records") { 0 } else { 1000 });
        assert_eq!(hint_for(&path, 1000, &of_root), None, "it is no store");
        fs::write(root.join("oci-layout"), "").unwrap();
        let hint = hint_for(&path, 1000, &of_root).unwrap();
        assert!(hint.contains("/records belongs to another user"), "{hint}");
        assert_eq!(hint_for(&root.join("tags"), 1000, &of_root), None);
        let hint = hint_for(&path, 7, &of_root).unwrap();
        assert!(hint.starts_with("the store belongs to another user"), "{hint}");
    }

    #[test]
    fn users_have_names() {
        assert_eq!((name(0), name(4_000_000_000)), ("root".into(), "user 4000000000".into()));
    }
}
