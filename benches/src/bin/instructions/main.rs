//! `instructions`: the number of instructions that the pieces of a call take, counted by valgrind.
//!
//! Time depends on the machine's other work, while the number of instructions of one thread hardly does. So changes are
//! checked against this number. `instructions.json` has the count of each piece at the last renewal. `--check` fails if
//! a piece takes 5 % more (a whole call 15 %). It fails as well if a piece takes as much less: the table is then to be
//! renewed, or the next change could undo the gain unnoticed.

mod count;
mod pieces;
mod table;
mod whole;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use rpcnet::__measured::Piece;
use rpcnet_benches::{Failure, Options, Report, chain};

use self::table::Table;

/// The prefix of all ids.
const PREFIX: &str = "instructions/";

/// Counts the instructions of the pieces of a call.
#[derive(Debug, Parser)]
#[command(name = "instructions")]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// Fail if a piece takes more or less than the table says.
    #[arg(long, conflicts_with = "renew")]
    check: bool,
    /// Write the table anew.
    #[arg(long, conflicts_with = "only")]
    renew: bool,
    /// Only run this piece, for valgrind.
    #[arg(long, value_name = "NAME", requires = "times")]
    piece: Option<String>,
    /// Number of runs of the piece.
    #[arg(long, value_name = "NUMBER", requires = "piece")]
    times: Option<u64>,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let result = match (&flags.piece, flags.times) {
        (Some(piece), Some(times)) => run(piece, times).map(|()| true),
        _ => measure(&flags),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "instructions: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, times: u64) -> Result<(), Failure> {
    let mut pieces = pieces::pieces();
    let piece = pieces.iter_mut().find(|piece| piece.name() == name).ok_or("there is no such piece")?;
    for _ in 0..times {
        piece.run();
    }
    Ok(())
}

/// Returns whether all counts are as the table says, if this was asked for.
fn measure(flags: &Flags) -> Result<bool, Failure> {
    if cfg!(debug_assertions) {
        return Err("built without optimization: use `cargo run --profile counted`".into());
    }
    let options = &flags.options;
    let id = |name: &str| format!("{PREFIX}{name}");
    let pieces = pieces::pieces();
    let names: Vec<_> = pieces.iter().map(Piece::name).filter(|name| options.selects(&id(name))).collect();
    drop(pieces);
    if names.is_empty() {
        let prefix = options.only().unwrap_or_default();
        let message = format!("no row begins with {prefix:?}; the rows are {PREFIX}…");
        Flags::command().error(ErrorKind::InvalidValue, message).exit();
    }
    let counts = count::all(&names)?;
    if flags.renew {
        Table::new(names.iter().zip(&counts)).write()?;
        return Ok(true);
    }
    let table = Table::read()?;
    let rows = names.iter().zip(&counts).map(|(name, &count)| table.row(id(name), name, count));
    rows.collect::<Report>().print(options)?;
    if !flags.check {
        return Ok(true);
    }
    let complaints = table.complaints(names.iter().copied().zip(counts));
    let mut err = io::stderr().lock();
    for complaint in &complaints {
        writeln!(err, "instructions: {complaint}")?;
    }
    if !complaints.is_empty() {
        writeln!(err, "{}", table.advice())?;
    }
    Ok(complaints.is_empty())
}
