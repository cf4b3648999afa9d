//! Streams of blocks, down and up, of which the reader can tell whether they are those that were sent.

use std::time::Duration;

use bytes::Bytes;
use rpcnet::{Code, Status, Streaming, rpc_impl, rpc_trait};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use rpcnet_benches::Failure;

/// How long a slow reader waits before each block.
const STEP: Duration = Duration::from_millis(5);

/// Sends blocks, and takes them.
#[rpc_trait(name = "bench.v1.Blocks")]
pub(crate) trait Blocks {
    /// Sends the blocks that are ordered.
    async fn download(&self, order: Order) -> rpcnet::Result<Streaming<Bytes>>;
    /// Reads the blocks of such an order at this pace.
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

/// So many blocks of one size.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) count: u64,
    /// In bytes.
    pub(crate) size: usize,
    /// Whether each is in memory of its own, as what is read from a file would be; otherwise all are parts of one
    /// buffer, and cost nothing to make.
    pub(crate) own_memory: bool,
}

/// How fast blocks are read: not at all at first, then one each 5 ms, then as fast as they come.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Pace {
    pub(crate) idle: Duration,
    pub(crate) slow: Duration,
}

impl Order {
    /// The blocks.
    pub(crate) fn blocks(self) -> Streaming<Bytes> {
        let pattern = Pattern::new(self.size);
        Streaming::iter((0..self.count).map(move |index| {
            let block = pattern.block(index);
            if self.own_memory { Bytes::copy_from_slice(&block) } else { block }
        }))
    }

    /// Reads the blocks at this pace.
    ///
    /// # Errors
    ///
    /// Where the stream breaks off, or any block is not what was ordered.
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

/// What blocks are parts of. Neighbours differ, so that none can be missing or in another's place unnoticed.
struct Pattern {
    bytes: Bytes,
    size: usize,
}

/// How many blocks differ. A prime, so that no size of packets is in step with it.
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
