//! Streams of blocks, down and up. The reader checks that it gets the blocks that were sent.

use std::time::Duration;

use bytes::Bytes;
use rpcnet::{Code, Status, Streaming, rpc_impl, rpc_trait};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use rpcnet_benches::Failure;

/// The time that a slow reader waits before each block.
const STEP: Duration = Duration::from_millis(5);

/// Sends and reads blocks.
#[rpc_trait(name = "bench.v1.Blocks")]
pub(crate) trait Blocks {
    /// Sends the ordered blocks.
    async fn download(&self, order: Order) -> rpcnet::Result<Streaming<Bytes>>;
    /// Reads the blocks of an order at this pace.
    async fn upload(&self, order: Order, pace: Pace, blocks: Streaming<Bytes>) -> rpcnet::Result<()>;
}

pub(crate) struct Store;

#[rpc_impl]
impl Blocks for Store {
    async fn download(&self, order: Order) -> rpcnet::Result<Streaming<Bytes>> {
        Ok(order.blocks())
    }

    async fn upload(&self, order: Order, pace: Pace, mut blocks: Streaming<Bytes>) -> rpcnet::Result<()> {
        let read = order.read(&mut blocks, pace).await;
        read.map_err(|error| Status::new(Code::DataLoss, error.to_string()))
    }
}

/// An order for a number of blocks of one size.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) count: u64,
    /// The size of a block in bytes.
    pub(crate) size: usize,
    /// True if each block is in memory of its own, as if it was read from a file. Otherwise all blocks are parts of one
    /// buffer, and cost nothing to make.
    pub(crate) own_memory: bool,
}

/// The pace of reading: nothing during `idle`, then one block each 5 ms during `slow`, then as fast as the blocks come.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Pace {
    pub(crate) idle: Duration,
    pub(crate) slow: Duration,
}

impl Order {
    /// The stream of the blocks.
    pub(crate) fn blocks(self) -> Streaming<Bytes> {
        let pattern = Pattern::new(self.size);
        Streaming::iter((0..self.count).map(move |index| {
            let block = pattern.block(index);
            if self.own_memory { Bytes::copy_from_slice(&block) } else { block }
        }))
    }

    /// Reads the blocks at this pace, and checks them.
    ///
    /// # Errors
    ///
    /// The stream breaks off, or a block differs from the ordered one.
    pub(crate) async fn read(self, blocks: &mut Streaming<Bytes>, pace: Pace) -> Result<(), Failure> {
        let pattern = Pattern::new(self.size);
        sleep(pace.idle).await;
        let slow_until = Instant::now() + pace.slow;
        let mut slow = !pace.slow.is_zero();
        let mut index = 0;
        while let Some(block) = blocks.next().await {
            if index == self.count || block? != pattern.block(index) {
                return Err(format!("block {index} of {} is not what was ordered", self.count).into());
            }
            index += 1;
            if slow {
                sleep(STEP).await;
                slow = Instant::now() < slow_until;
            }
        }
        if index == self.count {
            Ok(())
        } else {
            Err(format!("{index} blocks of {} have come", self.count).into())
        }
    }
}

/// The buffer that blocks are parts of. Neighbouring blocks differ, so that a missing or misplaced block is noticed.
struct Pattern {
    bytes: Bytes,
    size: usize,
}

/// The number of different blocks. It is a prime, so that no packet size is in step with it.
const DISTINCT: usize = 251;

impl Pattern {
    fn new(size: usize) -> Self {
        Self { bytes: (0..size + DISTINCT).map(|index| (index % DISTINCT) as u8).collect(), size }
    }

    fn block(&self, index: u64) -> Bytes {
        let start = (index % DISTINCT as u64) as usize;
        self.bytes.slice(start..start + self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Order = Order { count: 600, size: 64, own_memory: true };

    async fn read(blocks: Vec<Bytes>) -> Result<(), Failure> {
        ORDER.read(&mut Streaming::iter(blocks), Pace::default()).await
    }

    #[tokio::test]
    async fn what_was_ordered_is_told_from_anything_else() {
        let all = ORDER.blocks().collect().await.expect("no errors in it");
        read(all.clone()).await.expect("as ordered");
        for break_it in [
            |blocks: &mut Vec<Bytes>| drop(blocks.pop()),
            |blocks: &mut Vec<Bytes>| drop(blocks.remove(300)),
            |blocks: &mut Vec<Bytes>| blocks.swap(251, 252),
            |blocks: &mut Vec<Bytes>| blocks.push(blocks[600 % 251].clone()),
            |blocks: &mut Vec<Bytes>| blocks[7] = blocks[7].slice(1..),
        ] {
            let mut blocks = all.clone();
            break_it(&mut blocks);
            assert!(read(blocks).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_keeps_its_pace() {
        let started = Instant::now();
        let pace = Pace { idle: Duration::from_secs(3), slow: Duration::from_secs(1) };
        ORDER.read(&mut ORDER.blocks(), pace).await.expect("as ordered");
        assert_eq!(started.elapsed(), Duration::from_secs(4));
    }
}
