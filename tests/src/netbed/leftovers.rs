//! Names that tell whose they are, and the removal of what processes left that have ended.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::netbed::namespace::{FILES, NAMES, remove};

/// The prefix of all names.
const PREFIX: &str = "rpcnetbed";

/// A process: another one with the same id began at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    pid: u32,
    /// In the kernel's ticks since it was booted.
    began: u64,
}

impl Owner {
    /// The process with this id, if there is one.
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses, and may have spaces. The start is the 22nd.
        let (_, fields) = stat.rsplit_once(')')?;
        let began = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, began })
    }

    /// The owner of what has this name; `None` where it is not ours.
    fn of_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-');
        let owner = Self { pid: parts.next()?.parse().ok()?, began: parts.next()?.parse().ok()? };
        let _number: u32 = parts.next()?.parse().ok()?;
        Some(owner)
    }

    fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// A name that no other bed has, and that tells that it is this process'.
pub(super) fn fresh_name() -> String {
    static BEDS: AtomicU32 = AtomicU32::new(0);
    let Owner { pid, began } = Owner::of(std::process::id()).expect("this process runs");
    format!("{PREFIX}-{pid}-{began}-{}", BEDS.fetch_add(1, Ordering::Relaxed))
}

/// Removes the namespaces and files of beds whose test process has ended without it. Any number of processes may do so
/// at a time.
pub fn sweep() {
    for name in left(Path::new(NAMES)).chain(left(Path::new(FILES))) {
        remove(&name);
    }
    let temporary = std::env::temp_dir();
    for name in left(&temporary) {
        let _ = fs::remove_dir_all(temporary.join(name));
    }
}

/// The names there whose owner has ended.
fn left(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| Owner::of_name(name).is_some_and(|owner| !owner.lives()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_owner() {
        let own = Owner::of(std::process::id()).unwrap();
        let (one, other) = (fresh_name(), fresh_name());
        assert_ne!(one, other);
        assert_eq!(Owner::of_name(&one), Some(own));
        assert_eq!(Owner::of_name(&format!("{one}-host")), Some(own));
        assert!(own.lives());
        let earlier = Owner { began: own.began - 1, ..own };
        assert!(!earlier.lives(), "another process had this id");
        for name in ["rpcnetbed", "rpcnetbed-1-2", "rpcnetbed-x-2-3", "other-1-2-3", "rpcnetbed-1-x-3"] {
            assert_eq!(Owner::of_name(name), None, "{name}");
        }
    }
}
