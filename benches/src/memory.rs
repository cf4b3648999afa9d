//! The memory of a process, as Linux reports it.

use std::{fs, io};

use crate::ProcessError;

/// The memory of a process that is in RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The present size, in bytes (`VmRSS`).
    pub resident: u64,
    /// The largest size so far, or since [`reset_peak`](Self::reset_peak), in bytes (`VmHWM`).
    pub peak: u64,
}

impl Memory {
    /// The memory of a process.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Memory`]; always on systems other than Linux.
    pub fn of(pid: u32) -> Result<Self, ProcessError> {
        let failed = |source| ProcessError::Memory { pid, source };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(failed)?;
        Self::parse(&status).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
    }

    /// Resets the peak of a process to its present size (proc_pid_clear_refs(5)).
    ///
    /// # Errors
    ///
    /// [`ProcessError::Memory`]; always on systems other than Linux.
    pub fn reset_peak(pid: u32) -> Result<(), ProcessError> {
        let failed = |source| ProcessError::Memory { pid, source };
        fs::write(format!("/proc/{pid}/clear_refs"), "5").map_err(failed)
    }

    /// Parses the fields of proc_pid_status(5).
    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
        };
        Some(Self { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilobytes_are_read_as_bytes() {
        let status = "Name:\tcalls\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n";
        assert_eq!(Memory::parse(status), Some(Memory { resident: 1 << 20, peak: 2 << 20 }));
        assert_eq!(Memory::parse("VmHWM: 1 kB\n"), None);
        assert_eq!(Memory::parse("VmHWM: 1 kB\nVmRSS: many kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_memory_is_told() {
        let memory = Memory::of(std::process::id()).expect("Linux reports it");
        assert!(memory.resident > 0 && memory.peak > 0);
        assert!(matches!(Memory::of(u32::MAX), Err(ProcessError::Memory { .. })));
    }
}
