//! The calls that a worker has begun, on disk: what was written survives the process, however it ended.
//!
//! One `write` of 16 bytes to a file that is opened to append: the page cache is the kernel's, so SIGKILL takes nothing
//! back that was written, and no record is written half.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

/// An id and an execution.
const RECORD: usize = 16;
/// The extension of ledgers' files.
const EXTENSION: &str = "ledger";

/// The ledger of one life of a worker.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
}

impl Ledger {
    /// Starts one; the file must not be there.
    pub(crate) fn create(directory: &Path, name: &str) -> io::Result<Self> {
        let path = directory.join(format!("{name}.{EXTENSION}"));
        Ok(Self { file: OpenOptions::new().append(true).create_new(true).open(path)? })
    }

    /// Writes down that the handler of this id has begun; gives the execution a number of its own.
    pub(crate) fn write(&self, id: u64) -> io::Result<u64> {
        let execution = rand::random();
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&id.to_le_bytes());
        record[8..].copy_from_slice(&u64::to_le_bytes(execution));
        (&self.file).write_all(&record)?;
        Ok(execution)
    }
}

/// All executions by id, of all ledgers of a directory.
#[derive(Debug, Default)]
pub(crate) struct Executions(HashMap<u64, Vec<u64>>);

impl Executions {
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let mut all = Self::default();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                all.take(&fs::read(path)?);
            }
        }
        Ok(all)
    }

    fn take(&mut self, bytes: &[u8]) {
        let (records, _) = bytes.as_chunks::<RECORD>();
        for record in records {
            let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| record[at + byte]));
            self.add(number(0), number(8));
        }
    }

    pub(crate) fn add(&mut self, id: u64, execution: u64) {
        self.0.entry(id).or_default().push(execution);
    }

    /// The number of times that the handler of this id has begun.
    pub(crate) fn count(&self, id: u64) -> usize {
        self.0.get(&id).map_or(0, Vec::len)
    }

    /// Returns true if this is one of its executions.
    pub(crate) fn has(&self, id: u64, execution: u64) -> bool {
        self.0.get(&id).is_some_and(|executions| executions.contains(&execution))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_from_all_files() {
        let directory = tempfile::tempdir().unwrap();
        let first = Ledger::create(directory.path(), "worker-1.1").unwrap();
        let second = Ledger::create(directory.path(), "worker-1.2").unwrap();
        let executions = [first.write(7).unwrap(), second.write(7).unwrap(), second.write(8).unwrap()];
        fs::write(directory.path().join("log"), "no ledger").unwrap();
        let read = Executions::read(directory.path()).unwrap();
        assert_eq!([read.count(7), read.count(8), read.count(9)], [2, 1, 0]);
        assert!(read.has(7, executions[0]) && read.has(7, executions[1]) && read.has(8, executions[2]));
        assert!(!read.has(8, executions[0]));
        assert!(Ledger::create(directory.path(), "worker-1.1").is_err());
    }
}
