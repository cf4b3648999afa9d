//! The rows `calls/slow-consumer/…`: the growth of a sender's memory while its reader does not read.
//!
//! Each case is measured in a fresh process. The figure is the most memory that the process ever had, above its memory
//! when the connection was established.

mod upload;

use std::time::Duration;

use rpcnet::dev::DevCa;
use rpcnet_benches::{Credentials, Failure, Memory, Options, Row};

pub(crate) use self::upload::run as run_upload;
use crate::{
    blocks::{BlocksClient, Order, Pace},
    ours,
    progress::progress,
    role::{self, Role},
};

/// The prefix of all ids.
pub(crate) const PREFIX: &str = "calls/slow-consumer/";

/// The sending side.
#[derive(Debug, Clone, Copy)]
enum Sender {
    Server,
    Client,
}

/// A sender and its items.
#[derive(Debug)]
struct Case {
    name: &'static str,
    sender: Sender,
    size: usize,
    /// The size of all items together, in bytes.
    total: u64,
    target: Option<&'static str>,
}

const SERVER_TARGET: Option<&str> = Some("<32");

const CASES: [Case; 3] = [
    Case {
        name: "server-memory",
        sender: Sender::Server,
        size: 64 << 10,
        total: 1 << 30,
        target: SERVER_TARGET,
    },
    Case {
        name: "server-memory-64B",
        sender: Sender::Server,
        size: 64,
        total: 64 << 20,
        target: SERVER_TARGET,
    },
    Case { name: "client-memory", sender: Sender::Client, size: 64 << 10, total: 1 << 30, target: None },
];

impl Case {
    fn id(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    fn order(&self, quick: bool) -> Order {
        let total = if quick { self.total / 16 } else { self.total };
        Order { count: total / self.size as u64, size: self.size, own_memory: true }
    }

    fn row(&self, grown: u64) -> Row {
        let row = Row::new(self.id(), grown as f64 / f64::from(1 << 20), "MiB");
        match self.target {
            Some(target) => row.with_target(target.parse().expect("the targets above are valid")),
            None => row,
        }
    }
}

/// Returns whether any of these rows is selected.
pub(crate) fn selected(options: &Options) -> bool {
    CASES.iter().any(|case| options.selects(&case.id()))
}

/// Measures the selected rows.
pub(crate) async fn measure(options: &Options) -> Result<Vec<Row>, Failure> {
    if !selected(options) {
        return Ok(Vec::new());
    }
    let pace = if options.quick() {
        Pace { idle: Duration::from_millis(300), slow: Duration::from_millis(200) }
    } else {
        Pace { idle: Duration::from_secs(3), slow: Duration::from_secs(2) }
    };
    let ca = DevCa::generate()?;
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| options.selects(&case.id())) {
        progress(&case.id());
        let order = case.order(options.quick());
        let grown = match case.sender {
            Sender::Server => download(&ca, order, pace).await?,
            Sender::Client => upload::start(&ca, order, pace)?,
        };
        rows.push(case.row(grown));
    }
    progress("");
    Ok(rows)
}

/// The number of bytes by which the memory of a server grows while it sends this.
async fn download(ca: &DevCa, order: Order, pace: Pace) -> Result<u64, Failure> {
    let (server, address) = role::start(Role::Ours, ca)?;
    let client = BlocksClient::new(ours::connect(address, &Credentials::issue(ca, "client")?).await?);
    let before = server.memory()?;
    order.read(&mut client.download(order).await?, pace).await?;
    Ok(grown(before, server.memory()?))
}

fn grown(before: Memory, after: Memory) -> u64 {
    after.peak.saturating_sub(before.resident)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_from_what_was_to_the_peak() {
        let before = Memory { resident: 10 << 20, peak: 11 << 20 };
        let after = Memory { resident: 12 << 20, peak: 30 << 20 };
        let row = CASES[0].row(grown(before, after));
        assert_eq!((row.value(), row.holds()), (20.0, Some(true)));
    }

    #[test]
    fn all_targets_are_targets() {
        for case in &CASES {
            assert_eq!(case.row(40 << 20).holds(), case.target.map(|_| false));
        }
    }
}
