//! Connections over adverse networks, under virtual time.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    super::super::{ReadError, WriteError},
    super::frame::StreamKind,
    *,
};

const MS: Duration = Duration::from_millis(1);

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// A path with latency, loss, and times when it is cut, in milliseconds since the start.
#[derive(Debug, Clone)]
struct FaultyWire {
    start: Instant,
    now: Instant,
    latency: u64,
    loss: f64,
    /// Start, end, and the side whose packets are held back; both sides if `None`.
    cuts: Vec<(u64, u64, Option<usize>)>,
    frozen: Option<usize>,
    rng: SmallRng,
    carried: [u64; 2],
}

impl FaultyWire {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            latency: 0,
            loss: 0.0,
            cuts: Vec::new(),
            frozen: None,
            rng: SmallRng::seed_from_u64(seed),
            carried: [0; 2],
        }
    }

    fn is_cut(&self, from: usize) -> bool {
        let now = u64::try_from((self.now - self.start).as_millis()).expect("a run of milliseconds");
        self.cuts
            .iter()
            .any(|(start, end, side)| (*start..*end).contains(&now) && side.is_none_or(|side| side == from))
    }
}

impl Wire for FaultyWire {
    fn carry(&mut self, from: usize, _bytes: usize, now: Instant) -> Option<Instant> {
        self.carried[from] += 1;
        let lost = self.loss > 0.0 && self.rng.random_bool(self.loss);
        if lost || self.is_cut(from) {
            return None;
        }
        Some(now + Duration::from_millis(self.rng.random_range(0..=self.latency)))
    }

    fn passes(&mut self, from: usize) -> bool {
        !self.is_cut(from)
    }

    fn is_frozen(&self, side: usize) -> bool {
        self.frozen == Some(side)
    }

    fn offer(&mut self) -> Offer {
        Offer::Taken
    }
}

struct World {
    pair: Pair,
    wire: FaultyWire,
}

impl World {
    fn dialled(wire: FaultyWire, options: &DialOptions) -> Self {
        let mut world = Self { pair: Pair::new(options, &options.with_keep_alive(None), wire.now), wire };
        world.with(|pair, io| pair.dial(io));
        world
    }

    /// A connection over a path without faults.
    fn new() -> Self {
        Self::established(FaultyWire::new(0), &DialOptions::default())
    }

    /// An established connection.
    fn established(wire: FaultyWire, options: &DialOptions) -> Self {
        let mut world = Self::dialled(wire, options);
        let mut welcomed = false;
        while world.pair.established(0).is_none() || world.pair.established(1).is_none() {
            if !welcomed && world.pair.end(1).is_live() {
                welcomed = true;
                world.with(|pair, io| pair.welcome(io));
            } else {
                assert!(world.step(), "the handshake goes on");
            }
        }
        for side in 0..2 {
            assert_eq!(world.pair.established(side), Some(Ok(())));
        }
        world
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Pair, &mut Io<'_>) -> T) -> T {
        let mut io = Io { now: self.wire.now, wire: &mut self.wire };
        let result = act(&mut self.pair, &mut io);
        self.pair.go_on(&mut io);
        result
    }

    /// Advances to the next event. Returns false if there is none.
    fn step(&mut self) -> bool {
        let Some(deadline) = self.pair.deadline(&self.wire) else { return false };
        self.wire.now = deadline.max(self.wire.now);
        self.with(|_, _| ());
        true
    }

    /// The time since the start.
    fn elapsed(&self) -> Duration {
        self.wire.now - self.wire.start
    }

    fn write(&mut self, side: usize, stream: StreamId, chunk: &mut Bytes) -> Poll<Result<(), WriteError>> {
        let waker = Waker::from(Arc::new(Nobody));
        let cx = Context::from_waker(&waker);
        self.with(|pair, io| pair.poll_write(side, stream, &cx, chunk, io))
    }

    fn read(&mut self, side: usize, stream: StreamId) -> Poll<Result<Option<Bytes>, ReadError>> {
        let waker = Waker::from(Arc::new(Nobody));
        let cx = Context::from_waker(&waker);
        self.with(|pair, io| pair.poll_read(side, stream, &cx, usize::MAX, io))
    }

    fn open(&mut self, side: usize) -> StreamId {
        self.pair.open(side, StreamKind::Uni).expect("there is room").expect("the connection is open")
    }

    fn release(&mut self, side: usize, stream: StreamId, sending: bool) {
        self.with(|pair, io| pair.release(side, stream, sending, io));
    }
}

/// Options with an idle timeout that no cut exceeds.
fn patient() -> DialOptions {
    DialOptions::default().with_idle_timeout(Duration::from_secs(1000))
}

fn bytes(stream: usize, length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + stream) as u8).collect()
}

fn faulty_wire() -> impl Strategy<Value = FaultyWire> {
    let cut = (0u64..20_000, 0u64..8_000, prop::option::of(0usize..2));
    let cuts =
        prop::collection::vec(cut.prop_map(|(start, length, side)| (start, start + length, side)), 0..4);
    (any::<u64>(), 0u64..200, 0.0..0.4f64, cuts).prop_map(|(seed, latency, loss, cuts)| FaultyWire {
        latency,
        loss,
        cuts,
        ..FaultyWire::new(seed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// On any path, every stream arrives whole and in order, and nothing of it remains.
    #[test]
    fn streams_arrive_whole(wire in faulty_wire(), lengths in prop::collection::vec(0usize..600_000, 1..6)) {
        let mut world = World::established(wire, &patient());
        let streams: Vec<_> = lengths.iter().map(|_| world.open(0)).collect();
        let mut left: Vec<_> =
            lengths.iter().enumerate().map(|(index, length)| Bytes::from(bytes(index, *length))).collect();
        let mut open = vec![true; streams.len()];
        let mut arrived = vec![Some(Vec::new()); streams.len()];
        let mut whole = 0;
        while whole < streams.len() {
            for (index, stream) in streams.iter().enumerate() {
                while !left[index].is_empty() {
                    match world.write(0, *stream, &mut left[index]) {
                        Poll::Ready(written) => prop_assert_eq!(written, Ok(())),
                        Poll::Pending => break,
                    }
                }
                if left[index].is_empty() && std::mem::take(&mut open[index]) {
                    world.with(|pair, io| pair.finish(0, *stream, io));
                    world.release(0, *stream, true);
                }
                while world.pair.end(1).streams.open.contains_key(stream) {
                    let Poll::Ready(read) = world.read(1, *stream) else { break };
                    match (read, &mut arrived[index]) {
                        (Ok(Some(chunk)), Some(arrived)) => arrived.extend_from_slice(&chunk),
                        (Ok(None), arrived) => {
                            prop_assert!(arrived.take() == Some(bytes(index, lengths[index])));
                            world.release(1, *stream, false);
                            whole += 1;
                        }
                        (read, _) => prop_assert!(false, "{read:?}"),
                    }
                }
                let unread = world.pair.end(1).streams.open.get(stream);
                prop_assert!(unread.is_none_or(|stream| stream.recv.is_some()));
            }
            prop_assert!(world.step());
            prop_assert_eq!(world.pair.end(0).ended.clone(), None, "after {:?}", world.elapsed());
        }
        // Lets the last acknowledgements arrive.
        while world.pair.open_streams() > 0 {
            prop_assert!(world.step());
        }
        // The other side receives the close, or times out.
        world.with(|pair, io| pair.close(0, 7, "", io));
        while world.step() {}
        prop_assert!(world.pair.is_over());
        let ended = world.pair.end(1).ended.clone();
        let told = ConnectionError::Closed { code: 7, reason: String::new() };
        prop_assert!(ended == Some(told) || ended == Some(ConnectionError::TimedOut), "{ended:?}");
    }

    /// The same seed gives the same run.
    #[test]
    fn a_seed_is_a_story(wire in faulty_wire()) {
        let tell = |wire: FaultyWire| {
            let mut world = World::established(wire, &patient());
            let mut story = Vec::new();
            for _ in 0..50 {
                let stream = world.pair.open(0, StreamKind::Bi).expect("room").expect("the connection is open");
                let _ = world.write(0, stream, &mut Bytes::from_static(b"x"));
                if !world.step() { break }
                story.push((world.elapsed(), world.pair.end(1).received, world.wire.carried));
            }
            story
        };
        prop_assert_eq!(tell(wire.clone()), tell(wire));
    }
}

#[test]
fn a_handshake_waits_for_the_listener() {
    let mut world = World::dialled(FaultyWire::new(0), &DialOptions::default());
    assert!(world.pair.established(0).is_none(), "the listener has not answered");
    world.with(|pair, io| pair.welcome(io));
    assert_eq!((world.pair.established(0), world.pair.established(1)), (Some(Ok(())), Some(Ok(()))));
    assert_eq!(world.elapsed(), Duration::ZERO);
}

#[test]
fn where_nothing_arrives_each_end_times_out_for_itself() {
    let mut world = World::new();
    world.wire.cuts = vec![(0, u64::MAX, None)];
    while world.step() {}
    for side in 0..2 {
        assert_eq!(world.pair.end(side).ended, Some(ConnectionError::TimedOut));
    }
    // A keep-alive was sent 10 s after the last packet, and restarted that end's 30 s.
    assert_eq!(world.elapsed(), Duration::from_secs(40));
}

#[test]
fn keep_alives_keep_alive() {
    let mut world = World::new();
    while world.elapsed() < Duration::from_secs(600) {
        assert!(world.step());
    }
    assert!(world.pair.end(0).is_live() && world.pair.end(1).is_live());
    assert!(world.wire.carried[0] < 70, "one in ten seconds, not {}", world.wire.carried[0]);
}

#[test]
fn an_end_that_is_no_more_says_so_when_it_is_asked() {
    // The close is lost. The next packet is answered with another close.
    let mut world = World::new();
    world.wire.cuts = vec![(0, 5, None)];
    world.with(|pair, io| pair.close(1, 7, "bye", io));
    world.wire.now += 10 * MS;
    assert!(world.pair.end(0).is_live());
    while world.step() {}
    assert_eq!(world.pair.end(0).ended, Some(ConnectionError::Closed { code: 7, reason: "bye".into() }));
    assert_eq!(world.elapsed(), Duration::from_secs(10), "it was the keep-alive");

    // An end that has timed out does not know the connection any more.
    let options = DialOptions::default().with_keep_alive(Some(Duration::from_secs(9)));
    let mut world = World::established(FaultyWire::new(0), &options);
    world.wire.cuts = vec![(0, 35_000, None)];
    while world.step() {}
    assert_eq!(world.pair.end(1).ended, Some(ConnectionError::TimedOut));
    assert_eq!(world.pair.end(0).ended, Some(ConnectionError::Reset));
}

#[test]
fn what_crosses_a_cut_is_late_but_not_lost() {
    let mut world = World::new();
    world.wire.cuts = vec![(0, 2000, None)];
    let stream = world.open(0);
    assert_eq!(world.write(0, stream, &mut Bytes::from_static(b"late")), Poll::Ready(Ok(())));
    let before = world.pair.end(0).received;
    while world.pair.end(1).streams.open.is_empty() {
        assert_eq!(world.pair.end(0).received, before, "nothing is heard");
        assert!(world.step());
    }
    // The pause between probes doubles, so it may take as long again.
    assert!(world.elapsed() >= 2000 * MS && world.elapsed() <= 4000 * MS, "{:?}", world.elapsed());
    assert_eq!(world.read(1, stream), Poll::Ready(Ok(Some(Bytes::from_static(b"late")))));
    assert!(world.pair.end(0).received > before);
}

#[test]
fn the_time_of_a_frozen_end_stands_still() {
    let mut world = World::new();
    world.wire.frozen = Some(1);
    world.wire.cuts = vec![(0, 60_000, None)];
    while world.step() {}
    assert_eq!(world.pair.end(0).ended, Some(ConnectionError::TimedOut));
    assert!(world.pair.end(1).is_live());
    world.wire.frozen = None;
    while world.step() {}
    assert_eq!(world.pair.end(1).ended, Some(ConnectionError::TimedOut));
}

#[test]
fn a_stream_does_not_wait_for_another() {
    let mut world = World::new();
    let (lost, other) = (world.open(0), world.open(0));
    world.wire.loss = 1.0;
    assert_eq!(world.write(0, lost, &mut Bytes::from_static(b"lost")), Poll::Ready(Ok(())));
    world.wire.loss = 0.0;
    assert_eq!(world.write(0, other, &mut Bytes::from_static(b"other")), Poll::Ready(Ok(())));
    assert_eq!(world.read(1, other), Poll::Ready(Ok(Some(Bytes::from_static(b"other")))));
    // The acknowledgement of the other stream's packet revealed the loss.
    assert_eq!(world.read(1, lost), Poll::Ready(Ok(Some(Bytes::from_static(b"lost")))));
}

#[test]
fn datagrams_are_bounded() {
    let wire = FaultyWire { latency: 10, ..FaultyWire::new(0) };
    let mut world = World::established(wire, &DialOptions::default());
    for _ in 0..3 * DATAGRAMS {
        world
            .with(|pair, io| pair.send_datagram(0, Bytes::from_static(b"x"), io))
            .expect("the connection is open");
    }
    assert_eq!(world.pair.end(0).datagrams_under_way, DATAGRAMS);
    while world.pair.end(0).datagrams_under_way > 0 {
        assert!(world.step());
    }
    assert_eq!(world.pair.end(1).datagrams.len(), DATAGRAMS);
    world
        .with(|pair, io| pair.send_datagram(0, Bytes::from_static(b"last"), io))
        .expect("the connection is open");
    while world.pair.end(0).datagrams_under_way > 0 {
        assert!(world.step());
    }
    assert_eq!(world.pair.end(1).datagrams.len(), DATAGRAMS);
    assert_eq!(world.pair.end(1).datagrams.back(), Some(&Bytes::from_static(b"last")));
}
