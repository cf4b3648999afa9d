//! Rendering of a snapshot as lines.
//!
//! If the height does not suffice, these are left out in order: blank lines, old entries of the log, members that are
//! not workers (one line shows all of them), workers that are gone, then workers from the end.

use super::bars::{bytes_per_second, clock, latency, progress, thousands};
use super::line::{Line, Tone};
use super::table::Columns;
use super::{Happening, MemberRow, MemberState, Role, Snapshot};

/// The width in columns from which there is a margin on both sides.
const ROOMY: usize = 60;
/// The largest width in columns: wider lines are not easier to read.
const WIDEST: usize = 110;
/// The number of log entries that are kept before members are left out, in at most a third of the height.
const LEAST_LOG: usize = 3;

/// The display as at most `height` lines of at most `width` columns.
pub fn render(snapshot: &Snapshot, width: usize, height: usize) -> Vec<Line> {
    let margin = if width >= ROOMY { 2 } else { 0 };
    let inner = width.saturating_sub(2 * margin).min(WIDEST);
    let columns = Columns::fit(&snapshot.members, inner);

    let mut head = vec![title(snapshot, inner), time(snapshot, inner)];
    let numbers = [flow(speeds(snapshot), inner), flow(sums(snapshot), inner)].concat();
    let log = snapshot.happenings.len();

    let blanks = 3 + usize::from(log > 0);
    let fixed = head.len() + numbers.len() + 1;
    let all = snapshot.members.len();
    let roomy = height >= fixed + all + log.min(LEAST_LOG) + blanks;
    let blanks = if roomy { blanks } else { 0 };
    let left = height.saturating_sub(fixed + blanks);
    let least_log = log.min(LEAST_LOG).min(left / 3);

    let members = members(snapshot, &columns, left.saturating_sub(least_log));
    let log = log.min(left.saturating_sub(members.len()));

    let mut lines = Vec::new();
    let mut section = |part: &mut Vec<Line>| {
        if blanks > 0 && !part.is_empty() && !lines.is_empty() {
            lines.push(Line::new());
        }
        lines.append(part);
    };
    section(&mut head);
    section(&mut numbers.clone());
    section(&mut [vec![columns.header()], members].concat());
    let newest = &snapshot.happenings[snapshot.happenings.len() - log..];
    section(&mut newest.iter().map(happening).collect());
    lines.truncate(height);

    let indent = |line: Line| {
        let mut indented = Line::new().with(" ".repeat(margin), Tone::Plain);
        indented.extend(line.truncate(inner));
        indented
    };
    lines.into_iter().map(indent).collect()
}

/// The snapshot in one short line, for output that is not a terminal.
pub(super) fn summary(snapshot: &Snapshot) -> String {
    let up = |m: &&MemberRow| m.role == Role::Worker && m.state == MemberState::Up;
    let workers = snapshot.members.iter().filter(up).count();
    format!(
        "{:>5.1} s  {workers} workers up, {} calls/s, {}, p50 {}, p99 {}, {} chunks, {} failed",
        snapshot.elapsed.as_secs_f64(),
        thousands(snapshot.calls_per_second.round() as u64),
        bytes_per_second(snapshot.bytes_per_second),
        latency(snapshot.p50_us),
        latency(snapshot.p99_us),
        thousands(snapshot.chunks),
        thousands(snapshot.calls_failed),
    )
}

/// An entry of the log.
pub(super) fn happening(happening: &Happening) -> Line {
    Line::new()
        .with(format!("{:>5.1} s  ", happening.at.as_secs_f64()), Tone::Dim)
        .with(format!("{} ", happening.tone.mark()), happening.tone)
        .with(&happening.text, Tone::Plain)
}

fn title(snapshot: &Snapshot, width: usize) -> Line {
    let clock = match snapshot.total.is_zero() {
        true => clock(snapshot.elapsed),
        false => format!("{} / {}", clock(snapshot.elapsed), clock(snapshot.total)),
    };
    let room = width.saturating_sub(clock.len() + 2);
    let title = Line::new()
        .with("rpcnet", Tone::Strong)
        .with("  word count of ", Tone::Dim)
        .with(&snapshot.title, Tone::Plain);
    let mut title = title.truncate(room).pad(room + 2);
    title.extend(Line::new().with(clock, Tone::Plain));
    title
}

fn time(snapshot: &Snapshot, width: usize) -> Line {
    let total = snapshot.total.as_secs_f64();
    let share = match total > 0.0 {
        true => (snapshot.elapsed.as_secs_f64() / total).min(1.0),
        false => 0.0,
    };
    let percent = format!(" {:>3.0}%", (share * 100.0).floor());
    let mut line = progress(share, width.saturating_sub(percent.len()));
    line.extend(Line::new().with(percent, Tone::Dim));
    line
}

fn speeds(snapshot: &Snapshot) -> Vec<Line> {
    let calls = thousands(snapshot.calls_per_second.round() as u64);
    let bytes = bytes_per_second(snapshot.bytes_per_second);
    let (speed, unit) = bytes.split_once(' ').unwrap_or((&bytes, ""));
    let latency = |name: &str, micros| Line::new().with(name, Tone::Dim).with(latency(micros), Tone::Strong);
    vec![
        number(&calls, Tone::Strong, "calls/s"),
        number(speed, Tone::Strong, unit),
        latency("p50 ", snapshot.p50_us),
        latency("p99 ", snapshot.p99_us),
    ]
}

fn sums(snapshot: &Snapshot) -> Vec<Line> {
    let failed = match snapshot.calls_failed {
        0 => Tone::Good,
        _ => Tone::Bad,
    };
    vec![
        number(&thousands(snapshot.chunks), Tone::Strong, "chunks"),
        number(&thousands(snapshot.calls_failed), failed, "failed"),
        number(&thousands(snapshot.retries), Tone::Strong, "retries"),
    ]
}

fn number(number: &str, tone: Tone, unit: &str) -> Line {
    Line::new().with(number, tone).with(format!(" {unit}"), Tone::Dim)
}

/// Items side by side, in columns of one width, so that they do not move while their numbers grow.
fn flow(items: Vec<Line>, width: usize) -> Vec<Line> {
    const COLUMN: usize = 17;
    const GAP: usize = 2;
    let mut lines: Vec<Line> = Vec::new();
    for item in items {
        if let Some(line) = lines.last_mut() {
            let start = (line.width() + GAP).div_ceil(COLUMN) * COLUMN;
            if start + item.width() <= width {
                *line = std::mem::take(line).pad(start);
                line.extend(item);
                continue;
            }
        }
        lines.push(item);
    }
    lines
}

fn members(snapshot: &Snapshot, columns: &Columns, height: usize) -> Vec<Line> {
    let rows = |keep: &dyn Fn(&&MemberRow) -> bool| -> Vec<Line> {
        let kept = snapshot.members.iter().filter(keep);
        kept.map(|member| columns.member(member)).collect()
    };
    let all = rows(&|_| true);
    if all.len() <= height {
        return all;
    }
    let others = others(snapshot);
    let workers = rows(&|m| m.role == Role::Worker);
    if workers.len() < height {
        return [vec![others], workers].concat();
    }
    let gone = snapshot.members.iter().filter(|m| m.role == Role::Worker && m.state.is_gone());
    let gone = gone.count();
    let mut lines = vec![others];
    lines.extend(rows(&|m| m.role == Role::Worker && !m.state.is_gone()));
    let mut hidden = gone;
    let room = height.saturating_sub(1);
    if lines.len() > room {
        hidden += lines.len() - room;
        lines.truncate(room);
    }
    if height > 0 && hidden > 0 {
        lines.push(Line::new().with(format!("… {hidden} not shown"), Tone::Dim));
    }
    lines
}

/// Directors and clients in one line.
fn others(snapshot: &Snapshot) -> Line {
    let mut line = Line::new();
    for role in [Role::Director, Role::Client] {
        let of_role = || snapshot.members.iter().filter(move |m| m.role == role);
        let up = of_role().filter(|m| m.state == MemberState::Up).count();
        let name = role.name();
        line = match of_role().count() {
            0 => line,
            1 => {
                of_role().fold(line, |line, m| line.with(format!("{name} {}   ", m.state.name()), Tone::Dim))
            }
            all => line.with(format!("{up} of {all} {name}s up   "), Tone::Dim),
        };
    }
    line
}

#[cfg(test)]
mod tests;
