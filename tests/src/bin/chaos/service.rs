//! The workers' service: each call is written to the ledger before it is answered.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rpcnet::{Status, Streaming, rpc_impl, rpc_trait};
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;

/// Calls with an id of their own, whose right answers follow from the id.
#[rpc_trait(name = "chaos.v1.Chaos")]
pub(crate) trait Chaos {
    /// May be repeated.
    #[rpc(idempotent)]
    async fn repeatable(&self, id: u64, work: Duration) -> rpcnet::Result<Answer>;

    /// Must run once at most.
    async fn once(&self, id: u64, work: Duration) -> rpcnet::Result<Answer>;

    /// Items, of which the first tells the execution. Must run once at most.
    async fn items(&self, id: u64, count: u32, pause: Duration) -> rpcnet::Result<Streaming<u64>>;

    /// A large body, there and back. May be repeated.
    #[rpc(idempotent)]
    async fn large(&self, id: u64, body: Bytes) -> rpcnet::Result<Large>;
}

/// The answer of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// [`expected`] of the id.
    pub(crate) value: u64,
    /// Which execution this was, as it stands in the ledger.
    pub(crate) execution: u64,
}

/// The answer to a large body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Large {
    /// Which execution this was.
    pub(crate) execution: u64,
    /// The body, as it came.
    pub(crate) body: Bytes,
}

/// The right answer for an id: a bijection that nothing yields by chance (the finalizer of SplitMix64: Steele, Lea and
/// Flood, 2014).
pub(crate) fn expected(id: u64) -> u64 {
    let mut mixed = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The body that goes with an id.
pub(crate) fn body(id: u64, length: usize) -> Bytes {
    (0..length.div_ceil(8) as u64)
        .flat_map(|block| expected(id ^ (block << 40)).to_le_bytes())
        .take(length)
        .collect()
}

/// Implements [`Chaos`].
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) ledger: Arc<Ledger>,
}

impl Served {
    /// Writes down that a handler has begun.
    fn begin(&self, id: u64) -> rpcnet::Result<u64> {
        // Not `Unavailable`, for it is no fault that the run has asked for.
        self.ledger
            .write(id)
            .map_err(|error| Status::internal("the ledger can't be written").with_source(error))
    }
}

#[rpc_impl]
impl Chaos for Served {
    async fn repeatable(&self, id: u64, work: Duration) -> rpcnet::Result<Answer> {
        let execution = self.begin(id)?;
        pause(work).await;
        Ok(Answer { value: expected(id), execution })
    }

    async fn once(&self, id: u64, work: Duration) -> rpcnet::Result<Answer> {
        let execution = self.begin(id)?;
        pause(work).await;
        Ok(Answer { value: expected(id), execution })
    }

    async fn items(&self, id: u64, count: u32, between: Duration) -> rpcnet::Result<Streaming<u64>> {
        let execution = self.begin(id)?;
        let (sender, items) = Streaming::channel(4);
        // Ends when nobody reads.
        tokio::spawn(async move {
            if sender.send(execution).await.is_err() {
                return;
            }
            for index in 0..u64::from(count) {
                pause(between).await;
                if sender.send(expected(id.wrapping_add(index))).await.is_err() {
                    return;
                }
            }
            sender.finish();
        });
        Ok(items)
    }

    async fn large(&self, id: u64, sent: Bytes) -> rpcnet::Result<Large> {
        let execution = self.begin(id)?;
        if sent != body(id, sent.len()) {
            return Err(Status::data_loss("the body is not the one that belongs to this id"));
        }
        Ok(Large { execution, body: sent })
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_belong_to_their_ids() {
        assert_eq!(body(7, 100_000), body(7, 100_000));
        assert_ne!(body(7, 64), body(8, 64));
        assert_eq!(body(7, 13).len(), 13);
        assert_eq!(body(7, 13), body(7, 64).slice(..13));
    }
}
