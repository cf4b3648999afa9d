//! Reading of one file: the check, and later passes that notice a change.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{CorpusError, TextFile};
use crate::text::{Chunker, NotText, TextCheck, Utf8Decoder};

/// The number of bytes that are read at once. Larger reads were no faster.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Reads the file to its end, or up to the first bytes that are not text.
pub(super) fn check(path: &Path) -> Result<Result<TextFile, NotText>, CorpusError> {
    let unreadable = |source| CorpusError::from_io(path, source);
    let mut file = File::open(path).map_err(unreadable)?;
    let modified = file.metadata().map_err(unreadable)?.modified().ok();
    let mut check = TextCheck::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    loop {
        let read = read(&mut file, &mut buffer).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if let Err(reason) = check.push(&buffer[..read]) {
            return Ok(Err(reason));
        }
    }
    Ok(check.finish().map(|()| TextFile { path: path.to_owned(), bytes, modified }))
}

fn read(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A file that was checked before and is being read in a pass.
#[derive(Debug)]
pub(super) struct OpenText<'a> {
    expected: &'a TextFile,
    file: File,
    decoder: Utf8Decoder,
    read: u64,
    ended: bool,
}

impl<'a> OpenText<'a> {
    pub(super) fn open(expected: &'a TextFile) -> Result<Self, CorpusError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => changed(expected),
            _ => CorpusError::from_io(&expected.path, source),
        };
        let file = File::open(&expected.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let same_time = metadata.modified().ok() == expected.modified;
        // The length is compared while reading.
        if !metadata.is_file() || !same_time {
            return Err(changed(expected));
        }
        Ok(Self { expected, file, decoder: Utf8Decoder::default(), read: 0, ended: false })
    }

    /// Passes on the next text. Returns false at the end.
    pub(super) fn read_text(
        &mut self,
        buffer: &mut [u8],
        text: impl FnMut(&str),
    ) -> Result<bool, CorpusError> {
        let bytes = self.read(buffer)?;
        let decoded = if bytes.is_empty() { self.decoder.finish() } else { self.decoder.push(bytes, text) };
        decoded.map_err(|_| changed(self.expected))?;
        Ok(!bytes.is_empty())
    }

    /// Feeds the chunker once. Returns false at the end.
    pub(super) fn read_chunks(
        &mut self,
        buffer: &mut [u8],
        chunker: &mut Chunker,
    ) -> Result<bool, CorpusError> {
        let bytes = self.read(buffer)?;
        chunker.push(bytes).map_err(|_| changed(self.expected))?;
        Ok(!bytes.is_empty())
    }

    /// Ends the chunker's text.
    pub(super) fn end(&mut self, chunker: &mut Chunker) -> Result<(), CorpusError> {
        self.ended = true;
        chunker.finish().map_err(|_| changed(self.expected))
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    fn read<'b>(&mut self, buffer: &'b mut [u8]) -> Result<&'b [u8], CorpusError> {
        let length = read(&mut self.file, buffer)
            .map_err(|source| CorpusError::from_io(&self.expected.path, source))?;
        self.read += length as u64;
        let too_long = self.read > self.expected.bytes;
        let too_short = length == 0 && self.read < self.expected.bytes;
        if too_long || too_short {
            return Err(changed(self.expected));
        }
        Ok(&buffer[..length])
    }
}

fn changed(file: &TextFile) -> CorpusError {
    CorpusError::Changed { path: file.path.clone() }
}
