use std::io::{self, Read};
use std::path::PathBuf;

use dfbuild_image::Entry;

use crate::View;

/// Where the bytes of the files of a layer are.
pub trait Contents {
    /// Opens the content of `entry`, a regular file, from its beginning.
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>>;
}

/// The contents of a layer that lies in a directory, each file at its own path.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

impl Directory {
    /// The files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }
}

impl Contents for Directory {
    fn open(&self, _entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        unimplemented!("{:?}", self.0)
    }
}

/// The contents of a tree of several layers, each unpacked in a directory of its own.
#[derive(Debug)]
pub struct Layers<'a> {
    view: &'a View,
    directories: &'a [PathBuf],
}

impl<'a> Layers<'a> {
    /// The files of `view`; `directories` are its unpacked layers, lowest first.
    pub fn new(view: &'a View, directories: &'a [PathBuf]) -> Self {
        Self { view, directories }
    }
}

impl Contents for Layers<'_> {
    fn open(&self, _entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        unimplemented!("{:?} {:?}", self.view, self.directories)
    }
}
