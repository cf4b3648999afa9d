//! Finding files, in an order that depends on names alone.
//!
//! Links are treated as by `grep -r`. A link that is an input is followed. A link inside a directory is followed only
//! if it leads to a file. So a walk can't loop or leave the tree.

use std::collections::HashSet;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use super::{CorpusError, SkipReason, Skipped};

/// The result of a walk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Regular files, each once.
    pub(super) files: Vec<PathBuf>,
    pub(super) skipped: Vec<Skipped>,
}

pub(super) fn walk<P: AsRef<Path>>(inputs: &[P]) -> Result<Found, CorpusError> {
    if inputs.is_empty() {
        return Err(CorpusError::NoInput);
    }
    let mut walk = Walk::default();
    for input in inputs.iter().map(AsRef::as_ref) {
        let kind = fs::metadata(input).map_err(|source| CorpusError::from_io(input, source))?.file_type();
        if kind.is_dir() {
            walk.directory(input)?;
        } else if kind.is_file() {
            walk.file(input.to_owned())?;
        } else {
            return Err(CorpusError::NotAFile { path: input.to_owned() });
        }
    }
    Ok(walk.found)
}

#[derive(Debug, Default)]
struct Walk {
    found: Found,
    /// Canonical paths of the files and directories that were taken.
    taken: HashSet<PathBuf>,
}

impl Walk {
    fn directory(&mut self, root: &Path) -> Result<(), CorpusError> {
        // A stack of waiting entries, with the next one last, in place of recursion: so depth needs no call stack.
        let mut waiting = Vec::new();
        self.enter(root.to_owned(), &mut waiting)?;
        while let Some((path, kind)) = waiting.pop() {
            if kind.is_dir() {
                match reason_to_skip(&path) {
                    Some(reason) => self.skip(path, reason),
                    None => self.enter(path, &mut waiting)?,
                }
            } else if kind.is_file() {
                self.file(path)?;
            } else if kind.is_symlink() {
                self.link(path)?;
            } else {
                self.skip(path, SkipReason::SpecialFile);
            }
        }
        Ok(())
    }

    fn enter(&mut self, path: PathBuf, waiting: &mut Vec<(PathBuf, FileType)>) -> Result<(), CorpusError> {
        if !self.take(&path)? {
            self.skip(path, SkipReason::Repeated);
            return Ok(());
        }
        let entries = fs::read_dir(&path)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))))
                    .collect::<io::Result<Vec<_>>>()
            })
            .map_err(|source| CorpusError::from_io(&path, source))?;
        let start = waiting.len();
        waiting.extend(entries);
        waiting[start..].sort_unstable_by(|a, b| b.0.cmp(&a.0));
        Ok(())
    }

    fn file(&mut self, path: PathBuf) -> Result<(), CorpusError> {
        if self.take(&path)? {
            self.found.files.push(path);
        } else {
            self.skip(path, SkipReason::Repeated);
        }
        Ok(())
    }

    fn link(&mut self, path: PathBuf) -> Result<(), CorpusError> {
        match fs::metadata(&path).map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_file() => return self.file(path),
            Ok(kind) if kind.is_dir() => self.skip(path, SkipReason::LinkedDirectory),
            Ok(_) => self.skip(path, SkipReason::SpecialFile),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(CorpusError::from_io(&path, error));
            }
            Err(_) => self.skip(path, SkipReason::BrokenLink),
        }
        Ok(())
    }

    /// Returns whether the path was not taken before under any name, and notes it.
    fn take(&mut self, path: &Path) -> Result<bool, CorpusError> {
        let canonical = fs::canonicalize(path).map_err(|source| CorpusError::from_io(path, source))?;
        Ok(self.taken.insert(canonical))
    }

    fn skip(&mut self, path: PathBuf, reason: SkipReason) {
        self.found.skipped.push(Skipped { path, reason });
    }
}

fn reason_to_skip(directory: &Path) -> Option<SkipReason> {
    let name = directory.file_name()?;
    if name.as_encoded_bytes().starts_with(b".") {
        Some(SkipReason::HiddenDirectory)
    } else if name == "target" {
        Some(SkipReason::BuildDirectory)
    } else {
        None
    }
}
