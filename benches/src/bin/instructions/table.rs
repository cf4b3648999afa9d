//! The counts at the last renewal of the table.

use std::{collections::BTreeMap, fs, io};

use rpcnet_benches::{Failure, Row};
use serde::{Deserialize, Serialize};

use crate::whole;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json");
/// The compiler that this binary was built with.
const RUSTC: &str = env!("RUSTC_VERSION");
const RENEW: &str = "cargo run --profile counted -p rpcnet-benches --bin instructions -- --renew";

/// The tolerance of a count, as a share of the expected count.
const TOLERANCE: f64 = 0.05;
/// The tolerance for whole calls. They include work that is done by time, and more of it on a busy machine.
const WHOLE_CALLS: f64 = 0.15;
/// The tolerance if another compiler made the table: it makes other code of the same source.
const OTHER_COMPILER: f64 = 0.25;

/// The instructions of each piece, in the code of one compiler.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    rustc: String,
    architecture: String,
    instructions: BTreeMap<String, f64>,
}

impl Table {
    pub(crate) fn new<'a>(counts: impl Iterator<Item = (&'a &'a str, &'a f64)>) -> Self {
        let tenths = |count: f64| (count * 10.0).round() / 10.0;
        Self {
            rustc: RUSTC.into(),
            architecture: std::env::consts::ARCH.into(),
            instructions: counts.map(|(&name, &count)| (name.to_owned(), tenths(count))).collect(),
        }
    }

    pub(crate) fn read() -> Result<Self, Failure> {
        let text = fs::read_to_string(PATH).map_err(|error| format!("{PATH}: {error}"))?;
        Ok(serde_json::from_str(&text)?)
    }

    pub(crate) fn write(&self) -> io::Result<()> {
        fs::write(PATH, serde_json::to_string_pretty(self)? + "\n")
    }

    /// The row of a count, with the largest tolerated count as its target.
    pub(crate) fn row(&self, id: String, name: &str, count: f64) -> Row {
        let row = Row::new(id, count, "instructions");
        match self.bounds(name) {
            Some((_, most)) => row.with_target(format!("<={most:.0}").parse().expect("a bound is a number")),
            None => row,
        }
    }

    /// The complaints about these counts.
    pub(crate) fn complaints<'a>(&self, counts: impl Iterator<Item = (&'a str, f64)>) -> Vec<String> {
        counts
            .filter_map(|(name, count)| {
                if !self.is_of_this_architecture() {
                    return None;
                }
                let Some(&expected) = self.instructions.get(name) else {
                    return Some(format!("{name} takes {count:.1} instructions, and is not in the table"));
                };
                let (least, most) = self.bounds(name)?;
                let percent = (count / expected - 1.0) * 100.0;
                (!(least..=most).contains(&count)).then(|| {
                    format!("{name} takes {count:.1} instructions, not {expected:.1}: {percent:+.1} %")
                })
            })
            .collect()
    }

    /// Advice about complaints.
    pub(crate) fn advice(&self) -> String {
        let mut advice = format!(
            "Is there a reason for it? Then renew the table, in the same commit:\n    {RENEW}\nElse find what is new \
             with `valgrind --tool=callgrind target/counted/instructions --piece NAME --times 10000`."
        );
        if self.rustc != RUSTC {
            advice.push_str(&format!(
                "\nThe table is rustc {}'s, this is rustc {RUSTC}: where the code is the same, renew it.",
                self.rustc
            ));
        }
        advice
    }

    /// The least and the most that a piece may take. For another compiler's table, the least is zero.
    fn bounds(&self, name: &str) -> Option<(f64, f64)> {
        let expected = *self.instructions.get(name).filter(|_| self.is_of_this_architecture())?;
        Some(if self.rustc == RUSTC {
            // The tolerance is at least two instructions: a piece of a few instructions may vary by one.
            let share = if name.starts_with(whole::PREFIX) { WHOLE_CALLS } else { TOLERANCE };
            let off = (expected * share).max(2.0);
            (expected - off, expected + off)
        } else {
            (0.0, expected * (1.0 + OTHER_COMPILER))
        })
    }

    fn is_of_this_architecture(&self) -> bool {
        self.architecture == std::env::consts::ARCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new([(&"item/encode", &100.04), (&"pick", &10.0)].into_iter())
    }

    fn complaints(table: &Table, name: &str, count: f64) -> Vec<String> {
        table.complaints([(name, count)].into_iter())
    }

    #[test]
    fn more_and_less_are_told() {
        let table = table();
        for fine in [100.0, 105.0, 95.0] {
            assert!(complaints(&table, "item/encode", fine).is_empty(), "{fine}");
        }
        let expected = "item/encode takes 106.0 instructions, not 100.0: +6.0 %";
        assert_eq!(complaints(&table, "item/encode", 106.0), [expected]);
        assert_eq!(complaints(&table, "item/encode", 94.0).len(), 1);
        assert!(complaints(&table, "pick", 12.0).is_empty());
        assert_eq!(complaints(&table, "new", 1.0), ["new takes 1.0 instructions, and is not in the table"]);
    }

    #[test]
    fn the_code_of_another_compiler_may_differ_by_more() {
        let table = Table { rustc: "1.0.0".into(), ..table() };
        assert!(complaints(&table, "item/encode", 120.0).is_empty());
        assert!(complaints(&table, "item/encode", 20.0).is_empty());
        assert_eq!(complaints(&table, "item/encode", 130.0).len(), 1);
        assert!(table.advice().contains("The table is rustc 1.0.0's"), "{}", table.advice());
    }

    #[test]
    fn another_architecture_is_not_held_against_the_table() {
        let table = Table { architecture: "abacus".into(), ..table() };
        assert!(complaints(&table, "item/encode", 1e6).is_empty());
        assert_eq!(table.row("instructions/pick".into(), "pick", 1.0).target(), None);
    }

    #[test]
    fn rows_have_the_most_as_their_target() {
        let row = table().row("instructions/item/encode".into(), "item/encode", 104.0);
        assert_eq!((row.target().map(ToString::to_string), row.holds()), (Some("<=105".into()), Some(true)));
    }
}
