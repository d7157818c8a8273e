use dfbuild_image::Digest;

use crate::error::Error;
use crate::files::read_checked;
use crate::store::Store;

impl Store {
    /// Notes that a blob or manifest is in `repository`, a registry and a path such as
    /// `docker.io/library/debian`, or in an image layout, the absolute path of its folder: it can
    /// be fetched again from there, and a push to another repository of that registry need not
    /// send it.
    pub fn note_origin(&self, digest: &Digest, repository: &str) -> Result<(), Error> {
        self.hold(digest);
        let mut known = self.origins(digest);
        if known.iter().any(|origin| origin == repository) {
            return Ok(());
        }
        known.push(repository.to_owned());
        self.write_checked(&self.path("origins").join(digest.hex()), known.join("\n").as_bytes())
    }

    /// Notes that a blob is in `origin` no more.
    pub fn forget_origin(&self, digest: &Digest, origin: &str) -> Result<(), Error> {
        let mut known = self.origins(digest);
        let before = known.len();
        known.retain(|known| known != origin);
        if known.len() == before {
            return Ok(());
        }
        self.write_checked(&self.path("origins").join(digest.hex()), known.join("\n").as_bytes())
    }

    /// The repositories that a blob or manifest is known to be in, the first known first.
    pub fn origins(&self, digest: &Digest) -> Vec<String> {
        let bytes = read_checked(&self.path("origins").join(digest.hex())).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repository_is_noted_once() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let digest = Digest::of("layer");
        assert_eq!(store.origins(&digest), [] as [&str; 0]);
        for repository in ["docker.io/library/a", "localhost:5000/b", "docker.io/library/a"] {
            store.note_origin(&digest, repository).unwrap();
        }
        assert_eq!(store.origins(&digest), ["docker.io/library/a", "localhost:5000/b"]);
        store.forget_origin(&digest, "docker.io/library/a").unwrap();
        assert_eq!(store.origins(&digest), ["localhost:5000/b"]);
    }
}
