//! The flags that all benchmarks take.

use clap::Args;

/// The selected rows, the length of the measurement, and the form of the output.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Print one JSON array in place of a Markdown table.
    #[arg(long)]
    json: bool,
    /// Measure only rows whose id begins with this.
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Measure for a short time only: for CI, which checks that the benchmark runs and ignores the figures.
    #[arg(long)]
    quick: bool,
}

impl Options {
    /// Returns whether JSON is asked for.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Returns whether a short run is asked for.
    pub fn quick(&self) -> bool {
        self.quick
    }

    /// The prefix of the selected rows.
    pub fn only(&self) -> Option<&str> {
        self.only.as_deref()
    }

    /// Returns whether the row of this id is selected.
    pub fn selects(&self, id: &str) -> bool {
        self.only.as_deref().is_none_or(|prefix| id.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        options: Options,
    }

    fn options(flags: &[&str]) -> Options {
        Flags::try_parse_from([&["calls"], flags].concat()).expect("valid").options
    }

    #[test]
    fn everything_is_selected_by_default() {
        let options = options(&[]);
        assert!(options.selects("calls/echo/32B-1x1/p50-us"));
        assert!(!options.json() && !options.quick());
    }

    #[test]
    fn a_prefix_selects_what_begins_with_it() {
        let options = options(&["--only", "calls/echo/32B", "--json", "--quick"]);
        assert!(options.selects("calls/echo/32B-1x1/p50-us"));
        assert!(!options.selects("calls/echo/1KiB-1x64/p50-us"));
        assert!(!options.selects("calls/echo"));
        assert!(options.json() && options.quick());
    }
}
