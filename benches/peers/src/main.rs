//! rpcnet beside the frameworks that users would take otherwise, and beside bare quinn: speed, processor time and
//! memory.
//!
//! Each system is a client and a server, or four servers behind a balancer, as processes on loopback. All systems are
//! measured in turn, round by round, and each round has another order, so that other work of the machine affects all
//! alike. A ratio compares figures of one round. `benches/README.md` says how to run it and how to read it.

mod comparison;
mod files;
mod latencies;
mod machine;
mod measure;
mod measurement;
mod order;
mod pair;
mod peer;
mod plan;
mod proxy;
mod role;
mod system;
mod table;
mod work;
mod workload;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use rpcnet_benches::{Failure, Options, Report, chain};

use self::{measurement::Samples, plan::Plan, role::Role, system::System, workload::PREFIXES};

/// Measures rpcnet beside bare quinn, rpcnet 0.1, tarpc and tonic.
#[derive(Debug, Parser)]
#[command(name = "peers")]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// Print all measurements as one JSON array in place of the rows.
    #[arg(long)]
    raw: bool,
    /// Rounds of each workload, in place of 5 (3 where they are long).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Role of this process; the benchmark starts itself again with it.
    #[arg(long, hide = true, requires = "system")]
    role: Option<Role>,
    #[arg(long, hide = true)]
    system: Option<System>,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let result = match (flags.role, flags.system) {
        (Some(role), Some(system)) => role::run(role, system),
        _ => measure(&flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "peers: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn measure(flags: &Flags) -> Result<(), Failure> {
    let options = &flags.options;
    if !measure::selected(options) {
        let prefix = options.only().unwrap_or_default();
        let prefixes = PREFIXES.map(|prefix| format!("{prefix}…")).join(", ");
        let message = format!("no row begins with {prefix:?}; the rows are {prefixes}");
        Flags::command().error(ErrorKind::InvalidValue, message).exit();
    }
    let machine = machine::describe();
    let all = measure::measure(options, Plan::new(options.quick(), flags.rounds))?;
    if flags.raw {
        let measurements: Vec<_> = all.iter().flat_map(Samples::iter).collect();
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &measurements)?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    let rows = all.iter().flat_map(|samples| comparison::rows(samples, options));
    if options.json() {
        return Ok(rows.collect::<Report>().print(options)?);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{machine}\n")?;
    for samples in &all {
        writeln!(
            out,
            "### {}: {}\n\n{}",
            samples.workload(),
            samples.workload().about,
            table::table(samples)
        )?;
    }
    writeln!(out, "### Targets\n")?;
    write!(out, "{}", rows.filter(|row| row.target().is_some()).collect::<Report>())?;
    Ok(out.flush()?)
}
