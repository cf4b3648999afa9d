//! The rows `calls/allocations/…`: the number and the bytes of allocations of each side for a call.

mod counting;

use std::fmt;

use bytes::Bytes;
use rpcnet::{Channel, dev::DevCa};
use rpcnet_benches::{Credentials, Failure, Options, Row};
use tokio::task::JoinSet;

use self::counting::{AllocationsClient, Tally, start_counting, tally};
pub(crate) use self::counting::{AllocationsServer, Here};
use crate::{
    blocks::{BlocksClient, Order, Pace},
    ours::{self, EchoClient},
    progress::progress,
    role::{self, Role},
};

/// The prefix of all ids.
pub(crate) const PREFIX: &str = "calls/allocations/";

/// The work during which allocations are counted.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Unary echoes of this size, with `in_flight` calls in flight.
    Echo { size: usize, in_flight: u64 },
    /// Items of a server stream.
    Items { size: usize },
}

#[derive(Debug)]
struct Workload {
    name: &'static str,
    work: Work,
    /// The number of calls, or of items.
    count: u64,
}

const WORKLOADS: [Workload; 4] = [
    Workload { name: "32B-1x1", work: Work::Echo { size: 32, in_flight: 1 }, count: 6_400 },
    Workload { name: "32B-1x64", work: Work::Echo { size: 32, in_flight: 64 }, count: 65_536 },
    Workload { name: "1MiB", work: Work::Echo { size: 1 << 20, in_flight: 1 }, count: 192 },
    Workload { name: "items-64B", work: Work::Items { size: 64 }, count: 1_000_000 },
];

const SIDES: [&str; 2] = ["client", "server"];

impl Workload {
    fn id(&self, side: &str, what: &str) -> String {
        format!("{self}/{what}/{side}")
    }

    fn ids(&self) -> impl Iterator<Item = String> {
        ["allocations", "bytes"].into_iter().flat_map(move |what| SIDES.map(|side| self.id(side, what)))
    }

    fn selected(&self, options: &Options) -> bool {
        self.ids().any(|id| options.selects(&id))
    }

    /// Makes the rows. `tallies` are the counts of client and server.
    fn rows(&self, tallies: [Tally; 2], count: u64, options: &Options) -> Vec<Row> {
        let figures = [|tally: Tally| tally.allocations, |tally: Tally| tally.bytes];
        let values =
            figures.into_iter().flat_map(|figure| tallies.map(|tally| figure(tally) as f64 / count as f64));
        let units = ["allocations", "allocations", "bytes", "bytes"];
        let rows = self.ids().zip(values).zip(units).filter(|((id, _), _)| options.selects(id));
        rows.map(|((id, value), unit)| Row::new(id, value, unit)).collect()
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.name)
    }
}

/// Returns whether any of these rows is selected.
pub(crate) fn selected(options: &Options) -> bool {
    WORKLOADS.iter().any(|workload| workload.selected(options))
}

/// Measures the selected rows.
pub(crate) async fn measure(options: &Options) -> Result<Vec<Row>, Failure> {
    if !selected(options) {
        return Ok(Vec::new());
    }
    let ca = DevCa::generate()?;
    let (_server, address) = role::start(Role::Ours, &ca)?;
    let channel = ours::connect(address, &Credentials::issue(&ca, "client")?).await?;
    let server = AllocationsClient::new(channel.clone());
    let mut rows = Vec::new();
    for workload in WORKLOADS.iter().filter(|workload| workload.selected(options)) {
        progress(&workload.to_string());
        let count = if options.quick() { workload.count / 16 } else { workload.count };
        // Afterwards buffers and tables have their final size.
        workload.work.run(&channel, count / 2).await?;
        start_counting();
        server.start().await?;
        let before = [tally(), server.tally().await?];
        workload.work.run(&channel, count).await?;
        let after = [tally(), server.tally().await?];
        rows.extend(workload.rows([after[0] - before[0], after[1] - before[1]], count, options));
    }
    progress("");
    Ok(rows)
}

impl Work {
    async fn run(self, channel: &Channel, count: u64) -> Result<(), Failure> {
        match self {
            Self::Echo { size, in_flight } => {
                let client = EchoClient::new(channel.clone());
                let payload: Bytes = (0..size).map(|index| index as u8).collect();
                let mut tasks = JoinSet::new();
                for _ in 0..in_flight {
                    let (client, payload) = (client.clone(), payload.clone());
                    tasks.spawn(async move {
                        for _ in 0..count / in_flight {
                            if client.echo(payload.clone()).await? != payload {
                                return Err("the echo is not what was sent".into());
                            }
                        }
                        Ok::<(), Failure>(())
                    });
                }
                while let Some(task) = tasks.join_next().await {
                    task??;
                }
                Ok(())
            }
            Self::Items { size } => {
                let order = Order { count, size, own_memory: false };
                let mut blocks = BlocksClient::new(channel.clone()).download(order).await?;
                order.read(&mut blocks, Pace::default()).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn counts_are_spread_over_calls() {
        let tallies = [Tally { allocations: 40, bytes: 5000 }, Tally { allocations: 60, bytes: 7000 }];
        let rows = WORKLOADS[0].rows(tallies, 10, &Options::default());
        let values: BTreeMap<_, _> = rows.iter().map(|row| (row.id(), row.value())).collect();
        assert_eq!(values["calls/allocations/32B-1x1/allocations/client"], 4.0);
        assert_eq!(values["calls/allocations/32B-1x1/allocations/server"], 6.0);
        assert_eq!(values["calls/allocations/32B-1x1/bytes/client"], 500.0);
        assert_eq!(values["calls/allocations/32B-1x1/bytes/server"], 700.0);
    }

    #[test]
    fn tasks_share_the_calls_evenly() {
        for workload in &WORKLOADS {
            if let Work::Echo { in_flight, .. } = workload.work {
                for count in [workload.count, workload.count / 2, workload.count / 16, workload.count / 32] {
                    assert_eq!(count % in_flight, 0, "{workload}");
                }
            }
        }
    }
}
