//! The fuzz targets, and the memory that they may take. `tests/fuzz_corpus.rs` includes this file as a module of its
//! own.

mod memory;

use memory::peak_of;
use rpcnet::__fuzz as calls;
use rpcnet_cluster::__fuzz as cluster;

/// A fuzz target: one kind of bytes that a peer sends.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of the fuzz target, of its corpus and of its regressions.
    pub name: &'static str,
    check: fn(&[u8]),
    memory: Memory,
}

/// The largest memory that checking an input may hold at a time, in bytes. Checking holds more than decoding: the
/// decoded value, often twice, and the bytes that it was encoded to.
#[derive(Debug, Clone, Copy)]
struct Memory {
    for_each_byte: usize,
    free: usize,
}

/// The bound for frames and headers: their decoded form shares the memory of the input, or takes little more.
const SMALL: Memory = Memory { for_each_byte: 16, free: 256 << 10 };

/// The bound for typed values. The codec's own bounds are 64 bytes for each byte and 16 MiB. This is twice as much,
/// because a growing vector has room for twice its elements.
const TYPED: Memory = Memory { for_each_byte: 128, free: 32 << 20 };

/// The bound for a node: it keeps the news that it hears, and queues packets about it.
const NODE: Memory = Memory { for_each_byte: 64, free: 256 << 10 };

macro_rules! targets {
    ($($constant:ident $module:ident::$name:ident $memory:ident;)*) => {
        $(
            #[doc = concat!("The target `", stringify!($name), "`.")]
            pub const $constant: Target =
                Target { name: stringify!($name), check: $module::$name, memory: $memory };
        )*

        /// All targets.
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
    /// A target whose inputs may take little memory.
    pub const fn new(name: &'static str, check: fn(&[u8])) -> Self {
        Self { name, check, memory: SMALL }
    }

    /// Checks an input. Returns the largest number of bytes that the check held at a time.
    ///
    /// # Panics
    ///
    /// A promise is broken, or the check held more memory than allowed.
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
