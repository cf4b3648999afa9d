//! All figures of a run, and their two printed forms.

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;

use crate::{Options, Row};

/// Rows in the order in which they were measured.
///
/// As text (`Display`) they are a Markdown table, serialized they are an array.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// A report without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Writes the rows to stdout in the form that the options ask for, and nothing else.
    ///
    /// # Errors
    ///
    /// Stdout can't be written to.
    pub fn print(&self, options: &Options) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if options.json() {
            serde_json::to_writer(&mut out, self)?;
            writeln!(out)?;
        } else {
            write!(out, "{self}")?;
        }
        out.flush()
    }
}

impl Extend<Row> for Report {
    fn extend<I: IntoIterator<Item = Row>>(&mut self, rows: I) {
        self.rows.extend(rows);
    }
}

impl FromIterator<Row> for Report {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        Self { rows: rows.into_iter().collect() }
    }
}

const HEAD: [&str; 5] = ["id", "value", "unit", "target", "holds"];

fn cells(row: &Row) -> [String; 5] {
    [
        row.id().to_owned(),
        rounded(row.value()),
        row.unit().to_owned(),
        row.target().map(ToString::to_string).unwrap_or_default(),
        row.holds().map(|holds| if holds { "yes" } else { "no" }.to_owned()).unwrap_or_default(),
    ]
}

/// Formats three significant digits, or all digits before the point. Further digits would be noise.
fn rounded(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        small if small < 1.0 => 3,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self.rows.iter().map(cells).collect();
        let width =
            |column: usize| rows.iter().map(|row| row[column].len()).fold(HEAD[column].len(), usize::max);
        let [id, value, unit, target, holds] = std::array::from_fn(width);
        let mut line = |cells: [&str; 5]| {
            writeln!(
                f,
                "| {:<id$} | {:>value$} | {:<unit$} | {:<target$} | {:<holds$} |",
                cells[0], cells[1], cells[2], cells[3], cells[4]
            )
        };
        line(HEAD)?;
        let dashes = |width: usize| "-".repeat(width);
        line([
            &dashes(id),
            // Numbers are aligned to the right.
            &format!("{}:", dashes(value - 1)),
            &dashes(unit),
            &dashes(target),
            &dashes(holds),
        ])?;
        rows.iter().try_for_each(|row| line(row.each_ref().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        [
            Row::new("calls/echo/32B-1x64/calls-per-s", 81_234.56, "calls/s"),
            Row::new("calls/echo/32B-1x64/vs-bare-quinn", 0.8126, "ratio")
                .with_target(">=0.9".parse().expect("valid")),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn text_is_a_markdown_table() {
        let expected = "\
| id                                | value | unit    | target | holds |
| --------------------------------- | ----: | ------- | ------ | ----- |
| calls/echo/32B-1x64/calls-per-s   | 81235 | calls/s |        |       |
| calls/echo/32B-1x64/vs-bare-quinn | 0.813 | ratio   | >=0.9  | no    |
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn json_is_one_array() {
        let json = serde_json::to_value(report()).expect("plain data");
        let rows = json.as_array().expect("an array");
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["value"], 81_234.56);
        assert_eq!(rows[1]["holds"], false);
    }

    #[test]
    fn no_rows_are_an_empty_array() {
        assert_eq!(serde_json::to_string(&Report::new()).expect("plain data"), "[]");
    }

    #[test]
    fn figures_keep_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.81264, "0.813"),
            (7.0349, "7.03"),
            (65.21, "65.2"),
            (-3.0, "-3.00"),
            (135_012.4, "135012"),
        ] {
            assert_eq!(rounded(value), text);
        }
    }
}
