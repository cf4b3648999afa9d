use std::time::Duration;

use super::*;

fn member(label: &str, role: Role, state: MemberState, calls: u64, rate: f64) -> MemberRow {
    MemberRow { label: label.to_owned(), role, state, calls, calls_per_second: rate }
}

/// The demo after its faults.
fn snapshot() -> Snapshot {
    let entry = |millis, tone, text: &str| Happening {
        at: Duration::from_millis(millis),
        tone,
        text: text.to_owned(),
    };
    Snapshot {
        title: "/code/rpcnet".to_owned(),
        elapsed: Duration::from_millis(7_400),
        total: Duration::from_secs(15),
        members: vec![
            member("director-1", Role::Director, MemberState::Up, 0, 0.0),
            member("director-2", Role::Director, MemberState::Up, 0, 0.0),
            member("director-3", Role::Director, MemberState::Up, 0, 0.0),
            member("worker-1", Role::Worker, MemberState::Up, 12_004, 1_204.4),
            member("worker-2", Role::Worker, MemberState::Killed, 2_003, 0.0),
            member("worker-3", Role::Worker, MemberState::Draining, 4_120, 310.0),
            member("worker-4", Role::Worker, MemberState::Up, 11_870, 1_190.0),
            member("worker-5", Role::Worker, MemberState::Starting, 0, 0.0),
            member("client", Role::Client, MemberState::Up, 0, 0.0),
        ],
        chunks: 29_997,
        calls_failed: 0,
        retries: 12,
        calls_per_second: 2_704.4,
        bytes_per_second: 138.4e6,
        p50_us: 1_840,
        p99_us: 9_210,
        happenings: vec![
            entry(0, Tone::Plain, "3 directors, 4 workers and a client started"),
            entry(4_000, Tone::Bad, "killed worker-2 (SIGKILL), not picked after 212 ms"),
            entry(6_500, Tone::Warning, "worker-3 told to stop (SIGTERM)"),
            entry(7_100, Tone::Good, "started worker-5"),
        ],
    }
}

fn text(width: usize, height: usize) -> Vec<String> {
    let lines = render(&snapshot(), width, height);
    for line in &lines {
        assert!(line.width() <= width, "{} columns: {:?}", line.width(), line.plain());
    }
    lines.iter().map(Line::plain).collect()
}

#[test]
fn a_usual_terminal() {
    let expected = [
        "  rpcnet  word count of /code/rpcnet                            00:07 / 00:15",
        "  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸───────────────────────────────────  49%",
        "",
        "  2,704 calls/s    138.4 MB/s       p50 1.8 ms       p99 9.2 ms",
        "  29,997 chunks    0 failed         12 retries",
        "",
        "  MEMBER      ROLE      STATE           CALLS   CALLS/S",
        "  director-1  director  ● up                –         –",
        "  director-2  director  ● up                –         –",
        "  director-3  director  ● up                –         –",
        "  worker-1    worker    ● up           12,004     1,204  ████████████████████",
        "  worker-2    worker    ✗ killed        2,003         0",
        "  worker-3    worker    ◐ draining      4,120       310  █████▏",
        "  worker-4    worker    ● up           11,870     1,190  ███████████████████▊",
        "  worker-5    worker    ○ starting          0         0",
        "  client      client    ● up                –         –",
        "",
        "    0.0 s  · 3 directors, 4 workers and a client started",
        "    4.0 s  ✗ killed worker-2 (SIGKILL), not picked after 212 ms",
        "    6.5 s  ◐ worker-3 told to stop (SIGTERM)",
        "    7.1 s  ✓ started worker-5",
    ];
    assert_eq!(text(79, 23), expected);
}

#[test]
fn too_low_for_blank_lines() {
    let expected = [
        "  rpcnet  word count of /code/rpcnet                            00:07 / 00:15",
        "  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸───────────────────────────────────  49%",
        "  2,704 calls/s    138.4 MB/s       p50 1.8 ms       p99 9.2 ms",
        "  29,997 chunks    0 failed         12 retries",
        "  MEMBER      ROLE      STATE           CALLS   CALLS/S",
        "  director-1  director  ● up                –         –",
        "  director-2  director  ● up                –         –",
        "  director-3  director  ● up                –         –",
        "  worker-1    worker    ● up           12,004     1,204  ████████████████████",
        "  worker-2    worker    ✗ killed        2,003         0",
        "  worker-3    worker    ◐ draining      4,120       310  █████▏",
        "  worker-4    worker    ● up           11,870     1,190  ███████████████████▊",
        "  worker-5    worker    ○ starting          0         0",
        "  client      client    ● up                –         –",
        "    0.0 s  · 3 directors, 4 workers and a client started",
        "    4.0 s  ✗ killed worker-2 (SIGKILL), not picked after 212 ms",
        "    6.5 s  ◐ worker-3 told to stop (SIGTERM)",
        "    7.1 s  ✓ started worker-5",
    ];
    assert_eq!(text(79, 18), expected);
}

#[test]
fn a_narrow_and_low_terminal() {
    let expected = [
        "rpcnet  word count of /code/…  00:07 / 00:15",
        "━━━━━━━━━━━━━━━━━━━────────────────────  49%",
        "2,704 calls/s    138.4 MB/s       p50 1.8 ms",
        "p99 9.2 ms",
        "29,997 chunks    0 failed         12 retries",
        "MEMBER      STATE           CALLS   CALLS/S",
        "3 of 3 directors up   client up",
        "worker-1    ● up           12,004     1,204",
        "worker-2    ✗ killed        2,003         0",
        "worker-3    ◐ draining      4,120       310",
        "worker-4    ● up           11,870     1,190",
        "worker-5    ○ starting          0         0",
        "  6.5 s  ◐ worker-3 told to stop (SIGTERM)",
        "  7.1 s  ✓ started worker-5",
    ];
    assert_eq!(text(44, 14), expected);
}

#[test]
fn a_tiny_terminal() {
    let expected = [
        "rpcnet  word c…  00:07 / 00:15",
        "━━━━━━━━━━━━─────────────  49%",
        "2,704 calls/s    138.4 MB/s",
        "p50 1.8 ms       p99 9.2 ms",
        "29,997 chunks    0 failed",
        "12 retries",
        "MEMBER    STATE        CALLS/S",
        "3 of 3 directors up   client …",
        "worker-1  ● up           1,204",
        "worker-3  ◐ draining       310",
        "… 3 not shown",
        "  7.1 s  ✓ started worker-5",
    ];
    assert_eq!(text(30, 12), expected);
}

#[test]
fn every_size_fits() {
    for width in 0..130 {
        for height in 0..30 {
            assert!(text(width, height).len() <= height);
        }
    }
}

#[test]
fn a_run_of_unknown_length_and_lost_calls() {
    let snapshot = Snapshot { elapsed: Duration::from_secs(61), calls_failed: 3, ..Snapshot::default() };
    let lines: Vec<String> = render(&snapshot, 50, 9).iter().map(Line::plain).collect();
    assert!(lines[0].ends_with("  01:01"), "{lines:?}");
    assert!(lines[1].ends_with("─   0%"), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("3 failed")), "{lines:?}");
}

#[test]
fn numbers_do_not_move_what_stands_beside_them() {
    let mut snapshot = snapshot();
    let columns = |snapshot: &Snapshot| {
        let lines = render(snapshot, 79, 23);
        let find = |text: &str| lines.iter().find_map(|line| line.plain().find(text));
        [find("p50"), find("p99"), find("failed")]
    };
    let before = columns(&snapshot);
    snapshot.calls_per_second = 9.0;
    snapshot.bytes_per_second = 1.0;
    snapshot.chunks = 1;
    assert_eq!(columns(&snapshot), before);
}
