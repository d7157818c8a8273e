use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use dfbuild_image::{Digest, HashingWriter, digest_of};
use dfbuild_layer::archive::{Compression, Limits, decompress_within, detect};
use dfbuild_layer::upper::ScanOptions;
use dfbuild_layer::{Directory, Index, UnpackOptions, View, XattrNamespace, materialise};
use dfbuild_sandbox::IdMode;

use crate::damage::is_bomb;
use crate::damaged::Damaged;
use crate::engine::Engine;
use crate::error::StepError;
use crate::images::layer_cache::Form;
use crate::images::rootfs::Rootfs;

impl Engine {
    /// What is in a layer.
    pub(crate) fn index(&self, diff_id: &Digest) -> Result<Arc<Index>, StepError> {
        if let Some(index) = self.known_index(diff_id) {
            return Ok(index);
        }
        let index = self.read_index(diff_id)?;
        Ok(self.remember(diff_id, Arc::new(index)))
    }

    /// What is in a layer, if it was looked into before.
    pub(crate) fn known_index(&self, diff_id: &Digest) -> Option<Arc<Index>> {
        self.layers().index(diff_id).or_else(|| {
            let index = self.stored_index(diff_id)?;
            Some(self.remember(diff_id, Arc::new(index)))
        })
    }

    /// The same for whoever asks once: it does not stay in memory.
    pub(crate) fn known_index_once(&self, diff_id: &Digest) -> Option<Arc<Index>> {
        self.layers().index(diff_id).or_else(|| self.stored_index(diff_id).map(Arc::new))
    }

    fn stored_index(&self, diff_id: &Digest) -> Option<Index> {
        Index::decode(&self.store().layer_index(diff_id)?).ok()
    }

    /// Keeps an index in memory.
    pub(crate) fn remember(&self, diff_id: &Digest, index: Arc<Index>) -> Arc<Index> {
        self.layers().keep_index(*diff_id, Arc::clone(&index));
        index
    }

    /// Keeps an index in the store and in memory.
    pub(crate) fn keep_index(
        &self,
        diff_id: &Digest,
        index: Arc<Index>,
        tar_size: u64,
    ) -> Result<Arc<Index>, StepError> {
        self.note_index(diff_id, &index, tar_size)?;
        Ok(self.remember(diff_id, index))
    }

    fn note_index(&self, diff_id: &Digest, index: &Index, size: u64) -> Result<(), StepError> {
        self.store().put_layer_index(diff_id, &index.encode())?;
        self.store().put_layer_content(diff_id, &index.content_id())?;
        Ok(self.store().put_layer_size(diff_id, size)?)
    }

    /// The digest of what is in a layer, without times. A layer that nobody has looked into yet is
    /// read for it once.
    pub(crate) fn content_id(&self, diff_id: &Digest) -> Result<Digest, StepError> {
        if let Some(known) = self.store().layer_content(diff_id) {
            return Ok(known);
        }
        let index = self.index(diff_id)?;
        let content = index.content_id();
        self.store().put_layer_content(diff_id, &content)?;
        Ok(content)
    }

    /// Whether the layer lies in the store as a folder.
    pub(crate) fn has_snapshot(&self, diff_id: &Digest) -> bool {
        self.stored(diff_id, Form::Plain).is_some()
    }

    /// The folder of a layer, if it is in the store. One in overlay form is as good as a plain one.
    fn stored(&self, name: &Digest, form: Form) -> Option<PathBuf> {
        let there = |form| self.store().snapshot(&self.flavour(form), name);
        match form {
            Form::Overlay => there(Form::Overlay),
            Form::Plain => there(Form::Overlay).or_else(|| there(Form::Plain)),
        }
    }

    /// The form that new folders get.
    pub(crate) fn form(&self) -> Form {
        if self.uses_overlays() { Form::Overlay } else { Form::Plain }
    }

    /// Reads the index of a layer from its blob.
    fn read_index(&self, diff_id: &Digest) -> Result<Index, StepError> {
        let (blob, tar) = self.open_archive(diff_id)?;
        let mut tar = self.ending().watch(tar);
        let mut tar = Digesting { inner: &mut tar, writer: HashingWriter::new(io::sink()) };
        let read = dfbuild_layer::index(&mut tar, self.limits());
        let (_, found, size) = tar.writer.finish();
        let index = self.checked(read, &blob, diff_id, &found)?;
        self.promised(diff_id, &blob, &index)?;
        self.note_index(diff_id, &index, size)?;
        Ok(index)
    }

    /// Whether a layer is what was said of it before it was here.
    fn promised(&self, diff_id: &Digest, blob: &Digest, index: &Index) -> Result<(), StepError> {
        // What a cache of somebody else says of a layer is only believed until it is here.
        let promised = self.store().layer_content(diff_id);
        if promised.is_some_and(|promised| promised != index.content_id()) {
            self.lost().lose_blob(*blob);
            return Err(StepError::Damaged(Damaged::Layer(*diff_id)));
        }
        Ok(())
    }

    /// The archive of a layer, decompressed from any of its blobs, and which blob that is.
    pub(crate) fn open_archive(
        &self,
        diff_id: &Digest,
    ) -> Result<(Digest, Box<dyn Read>), StepError> {
        let blob = digest_of(&self.obtain_layer(diff_id)?);
        let blob = blob.ok_or(StepError::Damaged(Damaged::Layer(*diff_id)))?;
        let file = self.store().open_blob(&blob)?;
        let path = self.store().blob_path(&blob);
        let archive = open_compressed(file, self.limits()).map_err(StepError::io("read", path))?;
        Ok((blob, archive))
    }

    /// The folder with the layer, in this form at least; made if it is not there. `below` are the
    /// layers under it.
    pub(super) fn snapshot(
        &self,
        diff_id: &Digest,
        form: Form,
        below: &Rootfs<'_>,
    ) -> Result<PathBuf, StepError> {
        let name =
            if self.index(diff_id)?.needs_below() { below.name_of(diff_id) } else { *diff_id };
        if let Some(path) = self.stored(&name, form) {
            return Ok(path);
        }
        let lock = self.layers().unpacking.of(&name);
        let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = self.stored(&name, form) {
            return Ok(path);
        }
        let _span = tracing::info_span!("unpacking a layer");
        let staging = self.store().stage()?;
        let folder = staging.folder("unpack")?;
        let plain = self.stored(&name, Form::Plain);
        // Made anew it should be of use for commands as well.
        let form = if form == Form::Overlay { form } else { self.form() };
        let (flavour, options) = (self.flavour(form), self.unpack_options(form));
        if let Some(plain) = plain {
            let index = Index::clone(&*self.index(diff_id)?).settle(below.view()?)?;
            let files = Directory::new(plain);
            let contents = self.ending().watch(&files as &dyn dfbuild_layer::Contents);
            materialise(&index, &contents, &folder, below.view()?, &options)?;
            return Ok(self.store().put_snapshot(&flavour, &name, &folder)?);
        }
        let (blob, archive) = self.open_archive(diff_id)?;
        let mut archive = self.ending().watch(archive);
        let mut tar = Digesting { inner: &mut archive, writer: HashingWriter::new(io::sink()) };
        let read = dfbuild_layer::unpack(&mut tar, &folder, below.view()?, below, &options);
        let (_, found, _) = tar.writer.finish();
        self.checked(read, &blob, diff_id, &found)?;
        Ok(self.store().put_snapshot(&flavour, &name, &folder)?)
    }

    /// Unpacks a layer into the empty `folder` as if there were none below, and keeps its index.
    pub(crate) fn unpack_alone(
        &self,
        diff_id: &Digest,
        folder: &Path,
    ) -> Result<Arc<Index>, StepError> {
        let (blob, archive) = self.open_archive(diff_id)?;
        let mut archive = self.ending().watch(archive);
        let mut tar = Digesting { inner: &mut archive, writer: HashingWriter::new(io::sink()) };
        let (below, options) = (View::default(), self.unpack_options(self.form()));
        let lower = Rootfs::empty(self);
        let read = dfbuild_layer::unpack(&mut tar, folder, &below, &lower, &options);
        let (_, found, size) = tar.writer.finish();
        let index = self.checked(read, &blob, diff_id, &found)?;
        self.promised(diff_id, &blob, &index)?;
        self.keep_index(diff_id, Arc::new(index), size)
    }

    /// Keeps a layer that [`Engine::unpack_alone`] unpacked.
    pub(crate) fn keep_unpacked(&self, diff_id: &Digest, folder: &Path) -> Result<(), StepError> {
        self.store().put_snapshot(&self.flavour(self.form()), diff_id, folder)?;
        Ok(())
    }

    /// The result of reading the archive of a layer, if that had the right digest.
    fn checked(
        &self,
        read: Result<Index, dfbuild_layer::Error>,
        blob: &Digest,
        diff_id: &Digest,
        found: &Digest,
    ) -> Result<Index, StepError> {
        use dfbuild_layer::Error::{Malformed, Read};
        let damaged = match &read {
            Ok(_) => found != diff_id,
            Err(error) => matches!(error, Read { .. } | Malformed { .. }) && !is_bomb(error),
        };
        if !damaged || self.ending().is_near() {
            return Ok(read?);
        }
        Err(StepError::Damaged(Damaged::Blob(*blob)))
    }

    /// How files are placed here.
    pub(crate) fn unpack_options(&self, form: Form) -> UnpackOptions {
        UnpackOptions {
            xattrs: self.xattrs(),
            plain: form == Form::Plain,
            single_id: self.id_mode() == IdMode::Single,
            limits: self.limits().clone(),
        }
    }

    /// How the changes of commands are read here.
    pub(crate) fn scan_options(&self) -> ScanOptions {
        ScanOptions {
            xattrs: self.xattrs(),
            single_id: self.id_mode() == IdMode::Single,
            ..ScanOptions::default()
        }
    }

    /// Where overlays keep their notes here: `trusted.*` takes privileges in the initial namespace.
    fn xattrs(&self) -> XattrNamespace {
        match self.id_mode() {
            IdMode::Root => XattrNamespace::Trusted,
            IdMode::Mapped | IdMode::Single => XattrNamespace::User,
        }
    }
}

/// A layer blob as its archive. One that is not compressed is what it is.
fn open_compressed(mut file: File, limits: &Limits) -> io::Result<Box<dyn Read>> {
    let mut head = [0; 512];
    let mut length = 0;
    while length < head.len() {
        match file.read(&mut head[length..])? {
            0 => break,
            count => length += count,
        }
    }
    io::Seek::rewind(&mut file)?;
    let compression = detect(&head[..length]).unwrap_or(Compression::Plain);
    let read = Box::new(BufReader::with_capacity(128 << 10, file));
    Ok(decompress_within(compression, read, limits))
}

/// A reader that digests what is read.
struct Digesting<'a> {
    inner: &'a mut dyn Read,
    writer: HashingWriter<io::Sink>,
}

impl Read for Digesting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        io::Write::write_all(&mut self.writer, &buffer[..count])?;
        Ok(count)
    }
}
