//! What is fuzzed, and how much memory it may take. `tests/fuzz_corpus.rs` has this file as a module of its own.

mod memory;

use memory::peak_of;
use rpcnet::__fuzz as calls;
use rpcnet_cluster::__fuzz as cluster;

/// A kind of bytes that a peer sends.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// That of the fuzz target, of its corpus and of its regressions.
    pub name: &'static str,
    check: fn(&[u8]),
    memory: Memory,
}

/// What checking an input may hold at a time, in bytes. That is more than decoding: it holds what was decoded, often twice,
/// beside what it was encoded to.
#[derive(Debug, Clone, Copy)]
struct Memory {
    for_each_byte: usize,
    free: usize,
}

/// What frames and headers are decoded to shares the memory of the input, or is little more than it.
const SMALL: Memory = Memory { for_each_byte: 16, free: 256 << 10 };

/// The codec's own bounds are 64 bytes for each byte and 16 MiB; twice, as a vector that grows has room for twice its
/// elements.
const TYPED: Memory = Memory { for_each_byte: 128, free: 32 << 20 };

/// A node keeps what it hears, and queues what it says about it.
const NODE: Memory = Memory { for_each_byte: 64, free: 256 << 10 };

macro_rules! targets {
    ($($constant:ident $module:ident::$name:ident $memory:ident;)*) => {
        $(
            #[doc = concat!("The target `", stringify!($name), "`.")]
            pub const $constant: Target =
                Target { name: stringify!($name), check: $module::$name, memory: $memory };
        )*

        /// All there are.
        pub const TARGETS: &[Target] = &[$($constant),*];
    };
}

targets! {
    REQUEST_HEADER calls::request_header SMALL;
    REPLY_HEADER calls::reply_header SMALL;
    STATUS calls::status SMALL;
    METADATA calls::metadata SMALL;
    ITEM_FRAMES calls::item_frames SMALL;
    LANE_FRAMES calls::lane_frames SMALL;
    CONTROL calls::control SMALL;
    TYPED_DECODE calls::typed_decode TYPED;
    CERTIFICATE calls::certificate SMALL;
    GOSSIP_HELLO cluster::gossip_hello SMALL;
    GOSSIP_PARTS cluster::gossip_parts SMALL;
    GOSSIP_PACKETS cluster::gossip_packets NODE;
}

impl Target {
    /// A target whose inputs may take little.
    pub const fn new(name: &'static str, check: fn(&[u8])) -> Self {
        Self { name, check, memory: SMALL }
    }

    /// Checks an input; how many bytes of memory it took at most.
    ///
    /// # Panics
    ///
    /// When a promise is broken, or when it took more than it may.
    pub fn run(&self, input: &[u8]) -> usize {
        let peak = peak_of(|| (self.check)(input));
        let Memory { for_each_byte, free } = self.memory;
        let bound = free + input.len() * for_each_byte;
        assert!(
            peak <= bound,
            "{}: {} bytes took {peak} of memory, more than {bound}",
            self.name,
            input.len()
        );
        peak
    }
}
