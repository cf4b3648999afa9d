//! The table of members, in as many columns as fit.

use super::bars::{bar, thousands};
use super::line::{Line, Tone};
use super::{MemberRow, Role};

const LABELS: std::ops::RangeInclusive<usize> = 6..=16;
const ROLE: usize = 8;
const STATE: usize = 10;
const CALLS: usize = 9;
const RATE: usize = 8;
const LONGEST_BAR: usize = 32;
const GAP: usize = 2;

/// The columns that fit.
#[derive(Debug)]
pub(super) struct Columns {
    label: usize,
    role: bool,
    calls: bool,
    /// Columns for the bar; zero if there is none.
    bar: usize,
    /// The rate that fills the bar.
    fastest: f64,
}

impl Columns {
    pub(super) fn fit(members: &[MemberRow], width: usize) -> Self {
        let longest = members.iter().map(|m| m.label.chars().count()).max().unwrap_or(0);
        let others = GAP + STATE + GAP + RATE;
        let label = longest.min(width.saturating_sub(others)).clamp(*LABELS.start(), *LABELS.end());
        let least = label + others;
        let calls = least + GAP + CALLS;
        let role = calls + GAP + ROLE;
        let bar = width.saturating_sub(role + GAP).min(LONGEST_BAR);
        Self {
            label,
            role: width >= role,
            calls: width >= calls,
            bar: if bar >= 8 { bar } else { 0 },
            fastest: members.iter().map(|m| m.calls_per_second).fold(1.0, f64::max),
        }
    }

    pub(super) fn header(&self) -> Line {
        let role = Line::new().with("ROLE", Tone::Dim);
        let state = Line::new().with("STATE", Tone::Dim);
        self.row(Line::new().with("MEMBER", Tone::Dim), role, state, ("CALLS", "CALLS/S", Tone::Dim))
    }

    pub(super) fn member(&self, member: &MemberRow) -> Line {
        let gone = member.state.is_gone();
        let tone = if gone { Tone::Dim } else { Tone::Plain };
        let state = member.state;
        let (calls, rate) = match member.role {
            Role::Worker => {
                let rate = member.calls_per_second.round() as u64;
                (thousands(member.calls), thousands(rate))
            }
            Role::Director | Role::Client => ("–".to_owned(), "–".to_owned()),
        };
        let label = Line::new().with(&member.label, tone).truncate(self.label);
        let mut row = self.row(
            label,
            Line::new().with(member.role.name(), Tone::Dim),
            Line::new().with(format!("{} {}", state.mark(), state.name()), state.tone()),
            (&calls, &rate, if member.role == Role::Worker { tone } else { Tone::Dim }),
        );
        if self.bar > 0 && member.role == Role::Worker {
            let bar = bar(member.calls_per_second / self.fastest, self.bar);
            row.extend(Line::new().with(" ".repeat(GAP), Tone::Plain).with(bar, Tone::Accent));
        }
        row
    }

    fn row(&self, label: Line, role: Line, state: Line, numbers: (&str, &str, Tone)) -> Line {
        let (calls, rate, tone) = numbers;
        let mut row = label.pad(self.label + GAP);
        if self.role {
            row.extend(role.pad(ROLE + GAP));
        }
        row.extend(state.pad(STATE + GAP));
        if self.calls {
            row.extend(Line::new().with(format!("{calls:>CALLS$}"), tone).pad(CALLS + GAP));
        }
        row.with(format!("{rate:>RATE$}"), tone)
    }
}
