//! The client of a program without a network.

use std::io::{self, Read};
use std::path::Path;

use dfbuild_image::{Descriptor, Digest, MediaType, Reference};

use crate::address::without_secrets;
use crate::git::{CheckedOut, Checkout, Git};
use crate::{
    BlobSink, ClientOptions, Error, FetchOptions, FileInfo, Pushed, Registry, RemoteManifest,
    Validators,
};

/// Refuses everything: this program was built without the feature `http`.
#[derive(Debug, Clone)]
pub struct Client {
    options: ClientOptions,
}

impl Client {
    /// A client. That it has no network shows when it is asked for something.
    pub fn new(options: ClientOptions) -> Result<Self, Error> {
        Ok(Self { options })
    }

    /// The same client.
    pub fn hasty(&self) -> Self {
        self.clone()
    }

    /// Does nothing: nothing is under way.
    pub fn cancel(&self) {}

    /// What it was made with.
    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Is refused.
    pub fn download_if_changed(
        &self,
        url: &str,
        _options: &FetchOptions,
        _known: &Validators,
        _sink: &mut dyn BlobSink,
        _progress: &dyn Fn(u64),
    ) -> Result<Option<FileInfo>, Error> {
        refuse(format!("fetch {}", without_secrets(url)))
    }

    /// Is refused.
    pub fn commit_of(&self, _git: &Git, checkout: &Checkout) -> Result<Option<String>, Error> {
        refuse(format!("look up {}", without_secrets(&checkout.url)))
    }

    /// Is refused.
    pub fn checkout(
        &self,
        _git: &Git,
        checkout: &Checkout,
        _folder: &Path,
    ) -> Result<CheckedOut, Error> {
        refuse(format!("check out {}", without_secrets(&checkout.url)))
    }
}

impl Registry for Client {
    fn manifest(&self, reference: &Reference) -> Result<RemoteManifest, Error> {
        refuse(format!("pull manifest of {reference}"))
    }

    fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        _sink: &mut dyn BlobSink,
        _progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        refuse(format!("pull blob {} of {}", descriptor.digest(), reference.full_name()))
    }

    fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        _open: &dyn Fn() -> io::Result<Box<dyn Read>>,
        _mount_from: Option<&Reference>,
        _progress: &dyn Fn(u64),
    ) -> Result<Pushed, Error> {
        refuse(format!("push blob {} to {}", descriptor.digest(), reference.full_name()))
    }

    fn push_manifest(
        &self,
        reference: &Reference,
        _media_type: &MediaType,
        _bytes: &[u8],
    ) -> Result<Digest, Error> {
        refuse(format!("push manifest of {reference}"))
    }
}

fn refuse<T>(action: String) -> Result<T, Error> {
    Err(Error::Disabled { action })
}
