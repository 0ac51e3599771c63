//! Memory maps of our own index files: the one place of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::{MmapMut, MmapOptions};

use super::FileMap;

#[derive(Debug)]
pub(super) struct IndexMap(MmapMut);

impl IndexMap {
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        if file.metadata()?.len() < len as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: the file is an index file inside the data directory that this process holds the exclusive lock
        // of; nobody else writes to it or cuts it while it is mapped, and `DiskFile::allocate` gave every mapped
        // byte a real block, so that a store cannot fail for want of space (SIGBUS). Index bytes are plain numbers
        // without invalid values, and each is checked against the log before it is believed.
        let map = unsafe { MmapOptions::new().len(len).map_mut(file)? };
        Ok(Self(map))
    }
}

impl FileMap for IndexMap {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
