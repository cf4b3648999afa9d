//! Handlers and calls whose futures are large: they need the stack once, not once for each layer they are moved through.

use rpcnet::{Context, Streaming, rpc_impl, rpc_trait};
use rpcnet_tests::{Net, over_both, within};
use tokio::task::yield_now;

#[rpc_trait(name = "test.v1.Large")]
trait Large {
    async fn half(&self, seed: u8) -> rpcnet::Result<u64>;
    async fn whole(&self, cx: &Context, seed: u8) -> rpcnet::Result<u64>;
    async fn streamed(&self, seed: u8) -> rpcnet::Result<Streaming<u64>>;
    async fn read(&self, cx: &Context, seeds: Streaming<u8>) -> rpcnet::Result<u64>;
}

struct Service;

/// A future that holds so many bytes while it waits.
async fn hold<const BYTES: usize>(seed: u8) -> u64 {
    let held = [seed; BYTES];
    yield_now().await;
    held.iter().map(|byte| u64::from(*byte)).sum()
}

const HALF: usize = 512 << 10;
const WHOLE: usize = 1 << 20;

#[rpc_impl]
impl Large for Service {
    async fn half(&self, seed: u8) -> rpcnet::Result<u64> {
        let held = [seed; HALF];
        yield_now().await;
        Ok(held.iter().map(|byte| u64::from(*byte)).sum())
    }

    async fn whole(&self, _: &Context, seed: u8) -> rpcnet::Result<u64> {
        let held = [seed; WHOLE];
        yield_now().await;
        Ok(held.iter().map(|byte| u64::from(*byte)).sum())
    }

    async fn streamed(&self, seed: u8) -> rpcnet::Result<Streaming<u64>> {
        let held = [seed; WHOLE];
        yield_now().await;
        Ok(Streaming::iter([held.iter().map(|byte| u64::from(*byte)).sum()]))
    }

    async fn read(&self, _: &Context, mut seeds: Streaming<u8>) -> rpcnet::Result<u64> {
        let mut held = [0; WHOLE];
        while let Some(seed) = seeds.next().await {
            held.fill(seed?);
        }
        Ok(held.iter().map(|byte| u64::from(*byte)).sum())
    }
}

over_both!(handlers_may_hold_much);

async fn handlers_may_hold_much(net: Net) {
    let server = net.start();
    server.register(LargeServer::new(Service)).expect("the first");
    let client = LargeClient::new(net.connect(&server).await);
    // More than once: a handler that takes long runs as a task from the second time on.
    for _ in 0..3 {
        assert_eq!(within(client.half(1)).await.expect("it is answered"), HALF as u64);
        assert_eq!(within(client.whole(1)).await.expect("it is answered"), WHOLE as u64);
        let mut items = within(client.streamed(1)).await.expect("it begins");
        assert_eq!(within(items.next()).await.expect("one comes").expect("one comes"), WHOLE as u64);
        let seeds: Streaming<u8> = Streaming::iter([3, 2]);
        assert_eq!(within(client.read(seeds)).await.expect("it is answered"), 2 * WHOLE as u64);
    }
}

#[tokio::test]
async fn calls_to_all_may_hold_much() {
    let net = Net::quic();
    let server = net.start();
    server.register(LargeServer::new(Service)).expect("the first");
    let addr = server.local_addr();
    let set = [rpcnet::discover::Endpoint::new(addr.to_string(), addr)].into_iter().collect();
    let (_sender, set) = tokio::sync::watch::channel(set);
    let channel = rpcnet::BalancedChannel::new(net.channel(), set, rpcnet::BalancedConfig::default());
    let channel = channel.expect("it is complete");
    within(channel.ready()).await;
    let replies = channel.call_all(
        |_| true,
        |one| async move {
            let held = hold::<HALF>(1).await;
            held + LargeClient::new(one).half(1).await.expect("it is answered")
        },
    );
    let replies = within(replies.all()).await;
    assert_eq!(replies.into_iter().map(|from| from.output).collect::<Vec<_>>(), [2 * HALF as u64]);
}
