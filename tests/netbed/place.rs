//! Processes in hosts.

use std::time::Duration;

use rpcnet_tests::{
    netbed::Bed,
    process::{Hear, Process},
};

/// The binary with the roles of processes.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_netbed-process");

/// A process that has not done by then has failed. It may share the machine with much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// All lines of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(pub(crate) Vec<String>);

impl Hear for Lines {
    fn hear(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

impl Lines {
    /// What follows this first word, a line each.
    pub(crate) fn of<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |line| {
            let rest = line.strip_prefix(word)?;
            rest.strip_prefix(' ').or(rest.is_empty().then_some(rest))
        })
    }
}

/// Starts a role in a host; `arguments` are separated by spaces.
pub(crate) fn start<T: Hear>(bed: &Bed, host: &str, name: &str, arguments: &str) -> Process<T> {
    bed.start(host, name, PROGRAM, arguments.split_ascii_whitespace())
}

/// Runs a role in a host to its end; returns what it told.
pub(crate) async fn run(bed: &Bed, host: &str, name: &str, arguments: &str) -> Lines {
    let mut process = start::<Lines>(bed, host, name, arguments);
    let ended = process.end(PATIENCE).await.expect("it is a child");
    assert!(ended.is_some_and(|status| status.success()), "{name}: {ended:?}\n{}", bed.log(name));
    process.told_to_end().await
}
