//! The snapshot file.
//!
//! Each write replaces the file as a whole: the new file is written beside the old one, synced and renamed. So the file is
//! either the old or the new one, whenever the process or the machine stops. It begins with its kind, its version and a
//! checksum. A file that does not match them is set aside under another name.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use rpcnet::__cluster::{CodecError, decode, encode};
use serde::{Deserialize, Serialize};

use crate::swim::{Broadcast, Identity, MAX_MEMBERS, NodeId};

const NAME: &str = "cluster.snapshot";
const NEW: &str = "cluster.snapshot.new";
const UNREADABLE: &str = "cluster.snapshot.unreadable";

const MAGIC: &[u8; 15] = b"rpcnet-snapshot";
const VERSION: u8 = 1;
const HEAD: usize = MAGIC.len() + 1 + 8;

/// The largest file in bytes that is read. The most members take about a megabyte.
const MAX_FILE: u64 = 16 << 20;

/// The saved state of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) cluster: String,
    pub(crate) id: NodeId,
    pub(crate) generation: u64,
    /// Its tags, without those of its configuration.
    pub(crate) tags: BTreeMap<String, String>,
    /// The other members, each with whether it belonged to the cluster.
    pub(crate) members: Vec<(Identity, bool)>,
    /// The broadcasts by key. After all nodes went down, they come from here.
    pub(crate) broadcasts: BTreeMap<String, Broadcast>,
}

/// The error of a file that is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("it is not a snapshot")]
    Foreign,
    #[error("it is larger than a snapshot can be")]
    TooLarge,
    #[error("its version is {0}, this node reads {VERSION}")]
    Version(u8),
    #[error("its checksum does not hold")]
    Checksum,
    #[error("its contents can't be decoded: {0}")]
    Codec(#[from] CodecError),
    #[error("it is of the cluster {theirs:?}, this node is of {ours:?}")]
    Cluster { theirs: String, ours: String },
}

/// The file in a node's snapshot directory.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    directory: PathBuf,
}

impl SnapshotFile {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// Returns the saved state, if there is any. A file that is no snapshot is set aside, and the second value is the reason.
    pub(crate) fn load(&self) -> io::Result<(Option<Saved>, Option<FormatError>)> {
        fs::create_dir_all(&self.directory)?;
        let mut bytes = Vec::new();
        match File::open(self.path()) {
            Ok(file) => file.take(MAX_FILE + 1).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, None)),
            Err(error) => return Err(error),
        };
        match from_bytes(&bytes) {
            Ok(saved) => Ok((Some(saved), None)),
            Err(error) => {
                self.set_aside()?;
                Ok((None, Some(error)))
            }
        }
    }

    /// Renames the file for inspection. Replaces an earlier file that was set aside.
    pub(crate) fn set_aside(&self) -> io::Result<()> {
        fs::rename(self.path(), self.directory.join(UNREADABLE))
    }

    pub(crate) fn store(&self, saved: &Saved) -> io::Result<()> {
        let bytes = to_bytes(saved).map_err(io::Error::other)?;
        let new = self.directory.join(NEW);
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&new, self.path())?;
        sync_directory(&self.directory)
    }
}

/// Makes a rename durable: without it, the rename may be lost when the machine stops.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

fn to_bytes(saved: &Saved) -> Result<Vec<u8>, CodecError> {
    let body = encode(saved)?;
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&checksum(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

fn from_bytes(bytes: &[u8]) -> Result<Saved, FormatError> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(FormatError::TooLarge);
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or(FormatError::Foreign)?;
    let (&version, rest) = rest.split_first().ok_or(FormatError::Foreign)?;
    if version != VERSION {
        return Err(FormatError::Version(version));
    }
    let (sum, body) = rest.split_first_chunk().ok_or(FormatError::Checksum)?;
    if checksum(body) != u64::from_be_bytes(*sum) {
        return Err(FormatError::Checksum);
    }
    let mut saved: Saved = decode(body)?;
    saved.members.truncate(MAX_MEMBERS);
    Ok(saved)
}

/// Returns the 64-bit FNV-1a hash. It protects against accidents, not against an attacker with access to the directory.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn saved(members: u16) -> Saved {
        let identity = |index: u16| {
            Identity::new(
                ([10, 0, (index >> 8) as u8, index as u8], 7946).into(),
                NodeId::from_u128(index.into()),
                9,
            )
        };
        Saved {
            cluster: "dev".into(),
            id: NodeId::from_u128(7),
            generation: 1_800_000_000_000,
            tags: [("zone".to_owned(), "a".to_owned())].into(),
            members: (0..members).map(|index| (identity(index), index % 2 == 0)).collect(),
            broadcasts: BTreeMap::new(),
        }
    }

    /// A directory that is gone with the test.
    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a place for temporary files")
    }

    #[test]
    fn what_is_stored_is_loaded() {
        let directory = directory();
        let file = SnapshotFile::new(directory.path().join("not/there/yet"));
        assert!(matches!(file.load(), Ok((None, None))));
        for members in [0, 3, 1000] {
            file.store(&saved(members)).unwrap();
            let (loaded, error) = file.load().unwrap();
            assert_eq!(loaded, Some(saved(members)));
            assert!(error.is_none());
        }
    }

    #[test]
    fn what_is_none_is_set_aside() {
        let directory = directory();
        let file = SnapshotFile::new(directory.path().to_owned());
        let whole = to_bytes(&saved(3)).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let mut later = whole.clone();
        later[MAGIC.len()] = VERSION + 1;
        for bytes in
            [b"".to_vec(), b"something else".to_vec(), whole[..whole.len() - 1].to_vec(), flipped, later]
        {
            fs::write(file.path(), &bytes).unwrap();
            let (loaded, error) = file.load().unwrap();
            assert!(loaded.is_none() && error.is_some());
            assert!(!file.path().exists());
            assert_eq!(fs::read(directory.path().join(UNREADABLE)).unwrap(), bytes);
        }
        file.store(&saved(1)).unwrap();
        assert_eq!(file.load().unwrap().0, Some(saved(1)));
    }

    #[test]
    fn a_write_that_was_cut_off_changes_nothing() {
        let directory = directory();
        let file = SnapshotFile::new(directory.path().to_owned());
        file.store(&saved(2)).unwrap();
        fs::write(directory.path().join(NEW), &to_bytes(&saved(5)).unwrap()[..40]).unwrap();
        assert_eq!(file.load().unwrap().0, Some(saved(2)));
        file.store(&saved(6)).unwrap();
        assert_eq!(file.load().unwrap().0, Some(saved(6)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            body in prop::collection::vec(any::<u8>(), 0..200),
            place in 0..200usize,
        ) {
            let _ = from_bytes(&bytes);
            // With a checksum that holds.
            let sum = checksum(&body).to_be_bytes();
            let _ = from_bytes(&[&MAGIC[..], &[VERSION], &sum, &body].concat());
            // And damaged in one place, which the checksum finds.
            let mut damaged = to_bytes(&saved(5)).unwrap();
            let place = place % damaged.len();
            damaged[place] ^= 0x10;
            prop_assert!(from_bytes(&damaged).is_err());
        }
    }
}
