//! The files whose words are counted.
//!
//! Files may be of any size and are never held in memory. Only its end shows that a file is text, and a chunk that was
//! given out can't be taken back. So gathering reads every file once to check it, and each later pass reads it again. A
//! file that was written to in between is a [`CorpusError::Changed`]. The signs are its length, its time of
//! modification, or content that is no longer text.

mod error;
mod open;
mod walk;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::text::{Chunker, Counts, WordCounter};

pub use error::{CorpusError, SkipReason, Skipped};
use open::{OpenText, READ_BYTES};

#[cfg(test)]
mod tests;

/// The text files below some paths, in a fixed order, and the entries that were skipped there.
///
/// All methods that read files block.
#[derive(Debug, Clone)]
pub struct Corpus {
    files: Vec<TextFile>,
    skipped: Vec<Skipped>,
    bytes: u64,
}

/// A file of the corpus as it was when it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl TextFile {
    /// The path, beginning with the input that it was found through.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Corpus {
    /// Finds the text files among `inputs` and in directories among them, and reads each once to check it.
    ///
    /// Inputs keep their order. Within a directory, names are sorted. A file that is reached twice is taken once. The
    /// following are skipped if they are met inside a directory, and listed in [`skipped`](Self::skipped): hidden
    /// directories, directories named `target`, links to directories, special files, and files that are not text. The
    /// name of an input itself does not matter.
    ///
    /// # Errors
    ///
    /// There are no inputs; an input is missing or is neither a file nor a directory; something can't be read; or all
    /// files together have not one byte of text.
    pub fn gather<P: AsRef<Path>>(inputs: &[P]) -> Result<Self, CorpusError> {
        let found = walk::walk(inputs)?;
        let mut corpus = Self { files: Vec::new(), skipped: found.skipped, bytes: 0 };
        for path in found.files {
            match open::check(&path)? {
                Ok(file) => {
                    corpus.bytes += file.bytes;
                    corpus.files.push(file);
                }
                Err(reason) => corpus.skipped.push(Skipped { path, reason: SkipReason::Binary(reason) }),
            }
        }
        if corpus.bytes == 0 {
            return Err(CorpusError::nothing(inputs, &corpus.files, &corpus.skipped));
        }
        Ok(corpus)
    }

    /// The text files, in the order in which they are read.
    pub fn files(&self) -> &[TextFile] {
        &self.files
    }

    /// The entries that were not taken: directories and special files first, then binary files.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The length of all files together in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One pass over all files in chunks of about `target` bytes, as [`Chunker`] cuts them. No chunk spans two files.
    pub fn chunks(&self, target: usize) -> Chunks<'_> {
        Chunks {
            files: self.files.iter().enumerate(),
            open: None,
            chunker: Chunker::new(target),
            buffer: vec![0; READ_BYTES],
            failed: false,
        }
    }

    /// Counts the words of all files in this thread, without cutting them into chunks. The merged counts of the chunks
    /// must equal these counts.
    ///
    /// # Errors
    ///
    /// A file can't be read any more, or has changed.
    pub fn count(&self) -> Result<Counts, CorpusError> {
        let mut counter = WordCounter::new();
        let mut buffer = vec![0; READ_BYTES];
        for file in &self.files {
            let mut open = OpenText::open(file)?;
            while open.read_text(&mut buffer, |text| counter.push(text))? {}
            counter.end_text();
        }
        Ok(counter.finish())
    }
}

/// A piece of a file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The index of its file in [`Corpus::files`].
    pub file: usize,
    /// The text, never empty.
    pub text: String,
}

/// The chunks of a corpus, read on demand. Ends after the first error.
#[derive(Debug)]
pub struct Chunks<'a> {
    files: std::iter::Enumerate<std::slice::Iter<'a, TextFile>>,
    open: Option<(usize, OpenText<'a>)>,
    chunker: Chunker,
    buffer: Vec<u8>,
    failed: bool,
}

impl Chunks<'_> {
    fn advance(&mut self) -> Result<Option<Chunk>, CorpusError> {
        loop {
            let Some((file, open)) = &mut self.open else {
                let Some((index, file)) = self.files.next() else {
                    return Ok(None);
                };
                self.open = Some((index, OpenText::open(file)?));
                continue;
            };
            let file = *file;
            if let Some(text) = self.chunker.poll_chunk() {
                return Ok(Some(Chunk { file, text }));
            }
            if open.ended() {
                self.open = None;
            } else if !open.read_chunks(&mut self.buffer, &mut self.chunker)? {
                open.end(&mut self.chunker)?;
            }
        }
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Chunk, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.advance().transpose();
        self.failed = !matches!(next, Some(Ok(_)));
        next
    }
}
