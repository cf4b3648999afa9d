//! `membership`: the speed at which news spreads, false accusations, healing, and cost.
//!
//! All scenarios but `membership/real` run in simulated clusters under virtual time. rpcnet, with one configuration,
//! and stock foca's `new_lan` run on the same network with the same seeds. `membership/real` is a cluster of real nodes
//! within this process, over QUIC on loopback.

mod accused;
mod cluster;
mod codec;
mod contender;
mod figures;
mod healing;
mod real;
mod spreading;
mod stock;
mod traffic;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use rpcnet_benches::{Options, Row};

use self::figures::Plan;

/// Measures membership: in simulated clusters beside stock foca, and over QUIC.
#[derive(Debug, Parser)]
#[command(name = "membership")]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// Most seeds for each figure: for a quick look during a change.
    #[arg(long)]
    seeds: Option<u64>,
    /// Nodes of the real cluster.
    #[arg(long, default_value_t = 200)]
    real_nodes: usize,
}

/// The reason why something could not be measured.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let flags = Flags::parse();
    match measure(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "membership: {error}");
            ExitCode::FAILURE
        }
    }
}

type Scenario = fn(Plan<'_>, &mut Vec<Row>);

fn measure(flags: &Flags) -> Result<(), Failure> {
    let options = &flags.options;
    let plan = Plan { options, most_seeds: flags.seeds.unwrap_or(u64::MAX) };
    let mut rows = Vec::new();
    let scenarios: [(&str, Scenario); 7] = [
        ("join", spreading::join),
        ("crash", spreading::crash),
        ("leave", spreading::leave),
        ("stalled", accused::stalled),
        ("loss", accused::loss),
        ("healing", healing::healing),
        ("traffic", traffic::traffic),
    ];
    for (name, scenario) in scenarios {
        let before = (rows.len(), now());
        scenario(plan, &mut rows);
        if rows.len() > before.0 {
            // All scenarios take a while, and the table comes only at the end.
            let _ = writeln!(io::stderr(), "{name}: {:.1} s", before.1.elapsed().as_secs_f64());
        }
    }
    if plan.wants(real::PREFIX) {
        let nodes = if options.quick() { flags.real_nodes.min(20) } else { flags.real_nodes };
        rows.extend(real::measure(nodes, plan)?);
    }
    rows.retain(|row| options.selects(row.id()));
    if rows.is_empty() {
        return Err("no row begins with what --only says".into());
    }
    Ok(rows.into_iter().collect::<rpcnet_benches::Report>().print(options)?)
}

#[expect(clippy::disallowed_methods, reason = "progress shows real time, which is not measured")]
fn now() -> Instant {
    Instant::now()
}
