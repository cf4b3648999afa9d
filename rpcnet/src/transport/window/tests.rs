use proptest::prelude::*;

use super::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const LIMIT: u32 = 64 << 20;
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A path with so much buffer that it loses nothing, and a peer that sends as much as it may.
struct Path {
    windows: Windows,
    now: Instant,
    read: u64,
    /// Bytes per second.
    bandwidth: u64,
    rtt: Duration,
}

impl Path {
    fn new(limit: u32, bandwidth: u64, rtt: Duration) -> Self {
        let now = start();
        Self { windows: Windows::new(limit, now, rtt, 0), now, read: 0, bandwidth, rtt }
    }

    /// Returns the round-trip time with the whole window in flight. Bytes beyond the path's capacity wait in a queue.
    fn round_trip(&self) -> Duration {
        let window = self.windows.receive();
        self.rtt.max(Duration::from_secs_f64(f64::from(window) / self.bandwidth as f64))
    }

    fn look(&mut self, rtt: Duration) -> Change {
        let seen = PathSample { read: self.read, rtt, congestion_window: 0 };
        self.windows.see(self.now, seen)
    }

    /// Lets the peer send for this time.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let rtt = self.round_trip();
            let rate = f64::from(self.windows.receive()) / rtt.as_secs_f64();
            self.read += 256 * KIB;
            self.now += Duration::from_secs_f64(256.0 * KIB as f64 / rate);
            self.look(rtt);
        }
    }

    /// A pause of this length, and then a little data.
    fn pause(&mut self, time: Duration) {
        self.now += time;
        self.read += 256 * KIB;
        self.look(self.rtt);
    }

    fn product(&self) -> f64 {
        self.bandwidth as f64 * self.rtt.as_secs_f64()
    }
}

#[test]
fn a_connection_begins_with_eight_streams() {
    assert_eq!(First::within(LIMIT), First { receive: 16 << 20, stream: 2 << 20, send: 4 << 20 });
    assert_eq!(First::within(8 << 20), First { receive: 8 << 20, stream: 1 << 20, send: 4 << 20 });
    assert_eq!(First::within(64 << 10), First { receive: 64 << 10, stream: 8 << 10, send: 64 << 10 });
}

#[test]
fn a_flow_that_the_window_holds_back_doubles_it_in_each_round_trip() {
    let mut path = Path::new(1 << 30, 10_000 * MIB, 200 * MS);
    path.run(7 * 200 * MS);
    assert_eq!(path.windows.receive(), 1 << 30, "16 MiB, doubled six times");
}

#[test]
fn no_step_is_more_than_a_doubling() {
    let mut path = Path::new(1 << 30, 0, 200 * MS);
    for doubled in [32, 64, 128] {
        path.now += 200 * MS;
        path.read += 1 << 34;
        assert_eq!(path.look(200 * MS).receive, Some(doubled << 20));
    }
}

#[test]
fn the_window_settles_at_twice_what_the_path_holds() {
    for (mib, rtt) in [(100, 200 * MS), (120, 130 * MS), (250, 90 * MS)] {
        let mut path = Path::new(LIMIT, mib * MIB, rtt);
        path.run(60 * SECOND);
        let ratio = f64::from(path.windows.receive()) / path.product();
        assert!((1.75..2.1).contains(&ratio), "{mib} MiB/s over {rtt:?}: {ratio}");
    }
}

#[test]
fn a_path_that_holds_little_changes_nothing() {
    for (mib, rtt) in [(1, 600 * MS), (10, 200 * MS), (800, MS), (3000, MS / 20)] {
        let mut path = Path::new(LIMIT, mib * MIB, rtt);
        path.run(20 * SECOND);
        assert_eq!(path.windows.receive(), FIRST_RECEIVE, "{mib} MiB/s over {rtt:?}");
    }
}

#[test]
fn a_window_does_not_grow_with_its_own_queue() {
    // Without a pause, for as long as the shortest round trip is remembered.
    let mut path = Path::new(1 << 30, 100 * MIB, 200 * MS);
    path.run(MEMORY);
    assert!(f64::from(path.windows.receive()) < 2.1 * path.product());
    // With pauses, forever.
    for _ in 0..30 {
        path.run(2 * 60 * SECOND);
        path.pause(SECOND);
        assert!(f64::from(path.windows.receive()) < 2.1 * path.product());
    }
}

#[test]
fn a_path_that_has_become_longer_gets_its_window_in_the_end() {
    let mut path = Path::new(LIMIT, 250 * MIB, 10 * MS);
    path.run(30 * SECOND);
    assert_eq!(path.windows.receive(), FIRST_RECEIVE);
    path.rtt = 100 * MS;
    path.run(2 * MEMORY + 10 * SECOND);
    assert!(f64::from(path.windows.receive()) >= 1.75 * path.product());
}

#[test]
fn a_path_that_has_become_slow_shrinks_its_window_to_the_first_and_no_further() {
    let mut path = Path::new(LIMIT, 500 * MIB, 100 * MS);
    path.run(2 * SECOND);
    assert_eq!(path.windows.receive(), LIMIT);
    path.bandwidth = 20 * MIB;
    let before = path.windows.receive();
    path.run(8 * SECOND);
    assert_eq!(path.windows.receive(), before, "not at once");
    path.run(60 * SECOND);
    assert_eq!(path.windows.receive(), FIRST_RECEIVE);
}

#[test]
fn a_pause_costs_nothing_where_as_much_follows_and_the_window_where_little_does() {
    let mut path = Path::new(LIMIT, 500 * MIB, 100 * MS);
    path.run(2 * SECOND);
    path.pause(3600 * SECOND);
    path.run(SECOND);
    assert_eq!(path.windows.receive(), LIMIT);
    for _ in 0..4 {
        path.pause(3600 * SECOND);
    }
    assert_eq!(path.windows.receive(), FIRST_RECEIVE);
}

#[test]
fn a_reader_that_does_not_read_gets_no_more() {
    let mut path = Path::new(LIMIT, 0, 100 * MS);
    for _ in 0..1000 {
        path.now += 100 * MS;
        assert_eq!(path.look(100 * MS).receive, None);
    }
}

/// Returns the send window after `time` with this congestion window, measured every 10 ms.
fn sending(windows: &mut Windows, now: &mut Instant, congestion_window: u64, time: Duration) -> u32 {
    let end = *now + time;
    while *now < end {
        *now += 10 * MS;
        windows.see(*now, PathSample { read: 0, rtt: MS, congestion_window });
    }
    windows.send()
}

#[test]
fn what_may_be_written_is_twice_the_congestion_window() {
    let mut now = start();
    let mut windows = Windows::new(LIMIT, now, MS, 0);
    assert_eq!(sending(&mut windows, &mut now, 3 * MIB, 10 * MS), 6 << 20);
    assert_eq!(sending(&mut windows, &mut now, 60 * MIB, 40 * MS), LIMIT);
    assert_eq!(sending(&mut windows, &mut now, 20 * MIB, 60 * SECOND), LIMIT, "it is not twice too large");
}

#[test]
fn a_slow_path_keeps_little_that_was_written() {
    let mut now = start();
    let mut windows = Windows::new(LIMIT, now, MS, 0);
    assert_eq!(sending(&mut windows, &mut now, 20 * MIB, SECOND), 40 << 20);
    assert_eq!(
        sending(&mut windows, &mut now, 12 * KIB, 9 * SECOND),
        40 << 20,
        "a loss or two are not enough"
    );
    assert_eq!(sending(&mut windows, &mut now, 12 * KIB, 11 * SECOND), 20 << 20);
    assert!(sending(&mut windows, &mut now, 12 * KIB, 60 * SECOND) < 2 * LEAST_SEND);
}

#[test]
fn in_slow_start_congestion_control_is_never_held_back() {
    // The congestion window grows by the bytes that are acknowledged, and the windows are adjusted every 256 KiB.
    let mut now = start();
    let mut windows = Windows::new(LIMIT, now, MS, 0);
    let mut congestion_window = 12 * KIB;
    while congestion_window < u64::from(LIMIT) / 2 {
        congestion_window += 256 * KIB;
        assert!(u64::from(windows.send()) >= congestion_window, "{congestion_window}");
        now += MS;
        windows.see(now, PathSample { read: 0, rtt: MS, congestion_window });
    }
}

/// Arbitrary measurements: milliseconds since the last one, KiB read since then, the round trip in µs, the congestion
/// window.
fn looks() -> impl Strategy<Value = Vec<(u64, u64, u64, u64)>> {
    let mostly_short = prop_oneof![4 => 0..100u64, 1 => 0..100_000_000u64];
    let read = prop_oneof![4 => 0..10_000u64, 1 => any::<u32>().prop_map(u64::from)];
    let rtt = prop_oneof![4 => 0..300_000u64, 1 => any::<u64>()];
    prop::collection::vec((mostly_short, read, rtt, any::<u64>()), 1..200)
}

proptest! {
    #[test]
    fn whatever_is_seen_windows_stay_within_their_bounds(limit in 64u32 << 10..=1 << 30, looks in looks()) {
        let mut now = start();
        let (mut one, mut other) = (Windows::new(limit, now, MS, 0), Windows::new(limit, now, MS, 0));
        let first = First::within(limit);
        let mut read = 0;
        for (millis, kib, micros, congestion_window) in looks {
            now += Duration::from_millis(millis);
            read += kib * KIB;
            let before = (one.receive(), one.send());
            let seen = PathSample { read, rtt: Duration::from_micros(micros), congestion_window };
            let change = one.see(now, seen);
            prop_assert_eq!(change, other.see(now, seen), "the same again");
            prop_assert_eq!(change.receive.unwrap_or(before.0), one.receive());
            prop_assert_eq!(change.send.unwrap_or(before.1), one.send());
            prop_assert!((first.receive..=limit).contains(&one.receive()));
            prop_assert!((limit.min(LEAST_SEND)..=limit).contains(&one.send()));
            prop_assert!(one.receive() >= STREAMS * first.stream);
            prop_assert!(one.receive() <= before.0.saturating_mul(2) && one.receive() >= before.0 / 2);
            prop_assert!(one.send() <= before.1.saturating_mul(2) && one.send() >= before.1 / 2);
        }
    }
}
