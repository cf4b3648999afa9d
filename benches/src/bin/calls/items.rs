//! The rows `calls/items/…`: the rate at which items of a server stream arrive, on one connection.

use std::{fmt, time::Duration};

use rpcnet::dev::DevCa;
use rpcnet_benches::{Credentials, Failure, Options, Row, ServerProcess, cpu_time, median};
use tokio::time::Instant;

use crate::{
    blocks::{BlocksClient, Order, Pace},
    ours,
    progress::progress,
    role::{self, Role},
};

/// The prefix of all ids.
pub(crate) const PREFIX: &str = "calls/items/";

/// Items of one size.
#[derive(Debug)]
struct Workload {
    name: &'static str,
    size: usize,
    /// The number of items in a stream.
    count: u64,
    unit: Unit,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Items,
    Megabytes,
}

const WORKLOADS: [Workload; 2] = [
    Workload { name: "64B", size: 64, count: 2_000_000, unit: Unit::Items },
    Workload { name: "64KiB", size: 64 << 10, count: 4_096, unit: Unit::Megabytes },
];

/// The suffixes of a workload's ids.
const FIGURES: [&str; 3] = ["", "/cpu-ns-per-item/client", "/cpu-ns-per-item/server"];

impl Workload {
    fn ids(&self) -> impl Iterator<Item = String> {
        FIGURES.iter().map(move |figure| format!("{self}{figure}"))
    }

    fn selected(&self, options: &Options) -> bool {
        self.ids().any(|id| options.selects(&id))
    }

    fn order(&self, quick: bool) -> Order {
        let count = if quick { self.count / 16 } else { self.count };
        Order { count, size: self.size, own_memory: false }
    }

    fn rows(&self, rounds: &[Round], options: &Options) -> Vec<Row> {
        let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure)).unwrap_or(f64::NAN);
        let items = of(|round| round.items / round.elapsed.as_secs_f64());
        let (rate, unit) = match self.unit {
            Unit::Items => (items, "items/s"),
            Unit::Megabytes => (items * self.size as f64 / 1e6, "MB/s"),
        };
        // Over all rounds, because the kernel counts in steps of 10 ms.
        let total: f64 = rounds.iter().map(|round| round.items).sum();
        let cpu =
            |of: fn(&Round) -> Duration| rounds.iter().map(of).sum::<Duration>().as_secs_f64() / total * 1e9;
        let values =
            [(rate, unit), (cpu(|round| round.client_cpu), "ns"), (cpu(|round| round.server_cpu), "ns")];
        let rows = self.ids().zip(values).filter(|(id, _)| options.selects(id));
        rows.map(|(id, (value, unit))| Row::new(id, value, unit)).collect()
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.name)
    }
}

/// The result of one stream.
#[derive(Debug, Clone, Copy)]
struct Round {
    items: f64,
    elapsed: Duration,
    client_cpu: Duration,
    server_cpu: Duration,
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
    let (server, address) = role::start(Role::Ours, &ca)?;
    let client = BlocksClient::new(ours::connect(address, &Credentials::issue(&ca, "client")?).await?);
    let mut rows = Vec::new();
    for workload in WORKLOADS.iter().filter(|workload| workload.selected(options)) {
        let order = workload.order(options.quick());
        progress(&format!("{workload}: warm-up"));
        // This is the only round in which every byte is checked.
        order.read(&mut client.download(order).await?, Pace::default()).await?;
        let mut rounds = Vec::new();
        for index in 0..if options.quick() { 1 } else { 5 } {
            progress(&format!("{workload}: round {}", index + 1));
            rounds.push(round(&client, order, &server).await?);
        }
        rows.extend(workload.rows(&rounds, options));
    }
    progress("");
    Ok(rows)
}

async fn round(client: &BlocksClient, order: Order, server: &ServerProcess) -> Result<Round, Failure> {
    let own = std::process::id();
    let (client_cpu, server_cpu) = (cpu_time(own)?, server.cpu_time()?);
    let started = Instant::now();
    // In a task, as in a service: a future outside of the runtime's threads is woken at a higher price.
    let items = tokio::spawn(count(client.clone(), order)).await??;
    if items != order.count {
        return Err(format!("{items} items of {} have come", order.count).into());
    }
    Ok(Round {
        items: items as f64,
        elapsed: started.elapsed(),
        client_cpu: cpu_time(own)? - client_cpu,
        server_cpu: server.cpu_time()? - server_cpu,
    })
}

async fn count(client: BlocksClient, order: Order) -> Result<u64, Failure> {
    let mut blocks = client.download(order).await?;
    let mut items = 0;
    while let Some(block) = blocks.next().await {
        if block?.len() != order.size {
            return Err("an item has another length than was ordered".into());
        }
        items += 1;
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_medians_and_processor_time_is_spread_over_all_items() {
        let round = |millis| Round {
            items: 1000.0,
            elapsed: Duration::from_millis(millis),
            client_cpu: Duration::from_millis(millis),
            server_cpu: Duration::from_millis(10),
        };
        let rounds = [round(100), round(500), round(300)];
        let rows = WORKLOADS[0].rows(&rounds, &Options::default());
        assert_eq!(rows[0].id(), "calls/items/64B");
        assert!((rows[0].value() - 1000.0 / 0.3).abs() < 1e-6);
        assert!((rows[1].value() - 300_000.0).abs() < 1e-6, "{rows:?}");
        assert!((rows[2].value() - 10_000.0).abs() < 1e-6, "{rows:?}");
        let rows = WORKLOADS[1].rows(&rounds, &Options::default());
        assert!((rows[0].value() - 65.536 / 0.3).abs() < 1e-6, "{rows:?}");
    }
}
