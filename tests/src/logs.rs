//! The log of a test's process.

use std::{
    io,
    sync::{Mutex, OnceLock, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

static LINES: Mutex<String> = Mutex::new(String::new());

/// The log of all tests of this process at level `info`, from the first call on.
#[derive(Debug, Clone, Copy)]
pub struct Logs(());

impl Logs {
    /// Begins to take down what is logged.
    pub fn start() -> Self {
        static STARTED: OnceLock<()> = OnceLock::new();
        STARTED.get_or_init(|| {
            tracing_subscriber::fmt().with_env_filter("info").with_ansi(false).with_writer(Logs(())).init();
        });
        Self(())
    }

    /// The lines in which all of these texts occur.
    pub fn lines(self, texts: &[&str]) -> Vec<String> {
        let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        let has_all = |line: &&str| texts.iter().all(|text| line.contains(text));
        lines.lines().filter(has_all).map(str::to_owned).collect()
    }
}

impl MakeWriter<'_> for Logs {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
