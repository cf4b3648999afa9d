//! The operations of a case: drawn at random, printed when it fails.

use std::time::Duration;

use proptest::{collection::vec, option::weighted, prelude::*};

/// A case: who is there, what happens in which order, and how it ends.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) setup: Setup,
    pub(crate) operations: Vec<Operation>,
    pub(crate) ending: Ending,
}

#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Of the network.
    pub(crate) seed: u64,
    /// Two servers and a balanced channel; else one of each.
    pub(crate) balanced: bool,
    pub(crate) interceptors: bool,
    /// Calls that run at once, and that wait.
    pub(crate) admission: Option<(usize, usize)>,
    pub(crate) max_calls_per_connection: u32,
    /// Unary calls share a stream.
    pub(crate) lanes: bool,
    /// Milliseconds.
    pub(crate) latency: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Unary,
    /// Unary, and may be repeated.
    Steady,
    /// Items of the server.
    Down,
    /// Items of the client.
    Up,
    Both,
    /// As `Both`; a server's task that is not the call's makes the items, and each side waits half a second for one.
    Impatient,
}

impl Shape {
    pub(crate) fn sends_items(self) -> bool {
        matches!(self, Self::Up | Self::Both | Self::Impatient)
    }

    pub(crate) fn reads_items(self) -> bool {
        matches!(self, Self::Down | Self::Both | Self::Impatient)
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// Milliseconds.
    Start {
        shape: Shape,
        timeout: Option<u64>,
        item_timeout: Option<u64>,
    },
    /// On the call of this number among those that were started, modulo their count.
    Client(usize, ClientStep),
    /// At the handler of the call of this number; heeded after all earlier steps of this handler.
    Handler(usize, HandlerStep),
    /// This many items of a size each way, as far as the call has them: sent, read, answered and read.
    Talk {
        call: usize,
        items: usize,
        size: usize,
    },
    Network(Weather),
    /// Milliseconds; 0 lets others run once.
    Wait(u64),
    /// The server of this number takes nothing new.
    Drain(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum ClientStep {
    /// An item of this size.
    Say(usize),
    HalfClose,
    /// The source of items ends in an error.
    Fail,
    /// The source of items goes away without a word.
    BreakOff,
    /// May read so many items more.
    Read(usize),
    /// Drops the call, or the stream.
    GiveUp,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum HandlerStep {
    /// An item of this size; the first of these steps makes the reply begin.
    Say(usize),
    Read,
    /// Reads no more items.
    DropItems,
    Finish,
    /// Ends in the method's own error.
    Refuse,
    /// Ends in a status, where the method can.
    Fail,
    /// Lets the sender of items go.
    Forget,
    Panic,
}

/// A change of the network between the client and a server (by its number).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Weather {
    Cut(usize),
    /// Only what goes to the server.
    CutThere(usize),
    /// Only what comes from it.
    CutBack(usize),
    Heal,
    Reset(usize),
    /// Milliseconds at most.
    Latency(u64),
    /// Per cent.
    Loss(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everybody says what is left to say.
    Finish,
    /// The client drops all of its calls; handlers are told nothing.
    GiveUp,
    /// Servers take nothing new, handlers finish, servers shut down.
    Drain,
    /// Servers shut down at once.
    Shutdown,
    /// Servers are dropped at once.
    DropServers,
    /// The network is cut for ever; handlers are told nothing.
    Cut,
}

/// The default timeout in milliseconds: for the start of a stream, and a call without a deadline of its own.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// Half of them are calm: no connection is cut or reset, and no server goes, so that what handlers say has to come.
pub(crate) fn scripts() -> impl Strategy<Value = Script> {
    prop_oneof![scripts_of(true), scripts_of(false)]
}

fn scripts_of(calm: bool) -> impl Strategy<Value = Script> {
    (setups(), vec(operations(calm), 1..100), endings(calm)).prop_map(|(setup, operations, ending)| Script {
        setup,
        operations,
        ending,
    })
}

fn setups() -> impl Strategy<Value = Setup> {
    (
        any::<u64>(),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.3),
        weighted(0.3, (1..4usize, 0..3usize)),
        prop_oneof![3 => Just(256u32), 1 => 1..4u32],
        any::<bool>(),
        prop_oneof![2 => Just(0u64), 1 => 1..30u64],
    )
        .prop_map(
            |(seed, balanced, interceptors, admission, max_calls_per_connection, lanes, latency)| Setup {
                seed,
                balanced,
                interceptors,
                admission,
                max_calls_per_connection,
                lanes,
                latency,
            },
        )
}

fn operations(calm: bool) -> impl Strategy<Value = Operation> {
    let rarely = if calm { 0 } else { 1 };
    let start = (shapes(), weighted(0.2, 1..3000u64), weighted(0.1, 1..1000u64))
        .prop_map(|(shape, timeout, item_timeout)| Operation::Start { shape, timeout, item_timeout });
    prop_oneof![
        30 => start,
        70 => (any::<usize>(), client_steps()).prop_map(|(call, step)| Operation::Client(call, step)),
        100 => (any::<usize>(), handler_steps()).prop_map(|(call, step)| Operation::Handler(call, step)),
        70 => (any::<usize>(), 1..8usize, sizes())
            .prop_map(|(call, items, size)| Operation::Talk { call, items, size }),
        10 => prop_oneof![
            (0..50u64).prop_map(Weather::Latency),
            (0..20u8).prop_map(Weather::Loss),
        ]
        .prop_map(Operation::Network),
        10 * rarely => storms().prop_map(Operation::Network),
        50 => prop_oneof![3 => Just(0u64), 3 => 1..100u64, 1 => 100..6000u64].prop_map(Operation::Wait),
        rarely => (0..2usize).prop_map(Operation::Drain),
    ]
}

fn shapes() -> impl Strategy<Value = Shape> {
    prop_oneof![
        2 => Just(Shape::Unary),
        1 => Just(Shape::Steady),
        2 => Just(Shape::Down),
        2 => Just(Shape::Up),
        3 => Just(Shape::Both),
        1 => Just(Shape::Impatient),
    ]
}

/// Small, as large as a packet, and larger than a stream's window.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..100usize, 2 => 1000..40_000usize, 1 => 200_000..400_000usize]
}

fn client_steps() -> impl Strategy<Value = ClientStep> {
    prop_oneof![
        12 => sizes().prop_map(ClientStep::Say),
        2 => Just(ClientStep::HalfClose),
        1 => Just(ClientStep::Fail),
        1 => Just(ClientStep::BreakOff),
        6 => (1..5usize).prop_map(ClientStep::Read),
        1 => Just(ClientStep::GiveUp),
    ]
}

fn handler_steps() -> impl Strategy<Value = HandlerStep> {
    prop_oneof![
        12 => sizes().prop_map(HandlerStep::Say),
        12 => Just(HandlerStep::Read),
        1 => Just(HandlerStep::DropItems),
        2 => Just(HandlerStep::Finish),
        1 => Just(HandlerStep::Refuse),
        1 => Just(HandlerStep::Fail),
        1 => Just(HandlerStep::Forget),
        1 => Just(HandlerStep::Panic),
    ]
}

fn storms() -> impl Strategy<Value = Weather> {
    prop_oneof![
        1 => (0..2usize).prop_map(Weather::Cut),
        1 => (0..2usize).prop_map(Weather::CutThere),
        1 => (0..2usize).prop_map(Weather::CutBack),
        3 => Just(Weather::Heal),
        1 => (0..2usize).prop_map(Weather::Reset),
    ]
}

fn endings(calm: bool) -> impl Strategy<Value = Ending> {
    let rarely = if calm { 0 } else { 1 };
    prop_oneof![
        4 => Just(Ending::Finish),
        1 => Just(Ending::GiveUp),
        1 => Just(Ending::Drain),
        rarely => Just(Ending::Shutdown),
        rarely => Just(Ending::DropServers),
        rarely => Just(Ending::Cut),
    ]
}
