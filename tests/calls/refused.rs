//! Calls that are refused before they start: what is said, to whom, and that nothing ran.

use rpcnet::{CallError, Code, Limits, rpc_impl, rpc_trait};
use rpcnet_tests::{Net, ProbeClient, over_both};
use tokio::sync::mpsc;

const KIB: usize = 1 << 10;

#[rpc_trait(name = "test.v1.Sizes")]
trait Sizes {
    /// Takes some bytes, gives some back.
    async fn swap(&self, bytes: Vec<u8>, wanted: usize) -> rpcnet::Result<Vec<u8>>;
}

struct Swap {
    called: mpsc::UnboundedSender<usize>,
}

#[rpc_impl]
impl Sizes for Swap {
    async fn swap(&self, bytes: Vec<u8>, wanted: usize) -> rpcnet::Result<Vec<u8>> {
        let _ = self.called.send(bytes.len());
        Ok(vec![0; wanted])
    }
}

/// The same service as a later, or earlier, version of it has it.
mod other {
    use rpcnet::rpc_trait;

    #[rpc_trait(name = "test.v1.Sizes")]
    #[allow(dead_code)]
    pub(super) trait Sizes {
        async fn swap(&self, bytes: Vec<u16>) -> rpcnet::Result<Vec<u8>>;
        async fn gone(&self) -> rpcnet::Result<()>;
    }
}

/// A client and a server with these limits, and the sizes of the requests that reached the handler.
async fn sizes(net: &Net, client: Limits, server: Limits) -> (SizesClient, mpsc::UnboundedReceiver<usize>) {
    let server = net.start_with(net.server().with_limits(server));
    let (called, calls) = mpsc::unbounded_channel();
    server.register(SizesServer::new(Swap { called })).expect("the first");
    let channel = net.channel().with_limits(client).connect(server.local_addr().to_string()).await;
    (SizesClient::new(channel.expect("it listens")), calls)
}

fn limit(bytes: usize) -> Limits {
    Limits::default().with_max_message(bytes)
}

over_both!(
    an_unknown_service,
    an_unknown_method,
    another_schema,
    a_type_that_has_changed_within,
    a_request_over_our_limit,
    a_request_over_the_peers_limit,
    a_reply_over_the_servers_limit,
    a_reply_over_our_limit,
    metadata_of_a_wrong_name,
    too_much_metadata,
);

async fn an_unknown_service(net: Net) {
    let server = net.start();
    let client = ProbeClient::new(net.connect(&server).await);
    let error = client.once(1).await.expect_err("nobody serves it");
    assert_eq!(error.code(), Code::Unimplemented);
    assert!(!error.maybe_executed());
    let text = error.to_string();
    assert!(text.contains("test.v1.Probe/once"), "it names the method: {text}");
    assert!(text.contains("rpcnet.Health"), "it names what is served: {text}");
}

async fn an_unknown_method(net: Net) {
    let server = net.start();
    let (called, _calls) = mpsc::unbounded_channel();
    server.register(SizesServer::new(Swap { called })).expect("the first");
    let client = other::SizesClient::new(net.connect(&server).await);
    let error = client.gone().await.expect_err("this server is older");
    assert_eq!(error.code(), Code::Unimplemented);
    assert!(!error.maybe_executed());
    assert!(error.to_string().contains("test.v1.Sizes/gone"), "{error}");
}

async fn another_schema(net: Net) {
    use rpcnet::Service as _;

    let (client, mut calls) = sizes(&net, Limits::default(), Limits::default()).await;
    let theirs = SizesServer::new(Swap { called: mpsc::unbounded_channel().0 }).descriptor().methods[0];
    let old = other::SizesClient::new(client.caller().clone());
    let error = old.swap(vec![1]).await.expect_err("another signature");
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(!error.maybe_executed());
    let text = error.to_string();
    assert!(text.contains("test.v1.Sizes/swap"), "{text}");
    assert!(text.contains(&format!("{:#018x}", theirs.fingerprint())), "{text}");
    assert_eq!(text.matches("0x").count(), 2, "both fingerprints: {text}");
    assert!(calls.try_recv().is_err(), "the handler ran");
    client.swap(vec![1], 1).await.expect("the connection is unharmed");
}

/// Asserts that the error names method, limit, size, and the side that refused.
fn assert_names<E: std::fmt::Debug>(error: &CallError<E>, over: usize, limit: usize, whose: &str) {
    let status = error.status().expect("a status");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let text = status.message();
    assert!(text.contains("test.v1.Sizes/swap"), "{text}");
    assert!(text.contains(&format!("limit is {limit}")), "{text}");
    assert!(text.contains(whose), "{text}");
    let size = text.split(" bytes").next().and_then(|head| head.rsplit(' ').next()).expect("a size");
    let size: usize = size.parse().expect("a number");
    assert!(size >= over && size < over + 64, "the size in {text:?}");
}

async fn a_request_over_our_limit(net: Net) {
    let (client, mut calls) = sizes(&net, limit(64 * KIB), Limits::default()).await;
    let error = client.swap(vec![1; 65 * KIB], 1).await.expect_err("too large");
    assert_names(&error, 65 * KIB, 64 * KIB, "this side's");
    assert!(!error.maybe_executed());
    client.swap(vec![1; 63 * KIB], 1).await.expect("small enough");
    assert_eq!(calls.try_recv(), Ok(63 * KIB), "the handler has seen the second alone");
}

async fn a_request_over_the_peers_limit(net: Net) {
    let (client, mut calls) = sizes(&net, Limits::default(), limit(64 * KIB)).await;
    let error = client.swap(vec![1; 65 * KIB], 1).await.expect_err("too large");
    assert_names(&error, 65 * KIB, 64 * KIB, "the peer's");
    assert!(!error.maybe_executed());
    client.swap(vec![1; 63 * KIB], 1).await.expect("small enough");
    assert_eq!(calls.try_recv(), Ok(63 * KIB), "the handler has seen the second alone");
}

async fn a_reply_over_the_servers_limit(net: Net) {
    let (client, mut calls) = sizes(&net, Limits::default(), limit(64 * KIB)).await;
    let error = client.swap(vec![1], 65 * KIB).await.expect_err("too large");
    assert_names(&error, 65 * KIB, 64 * KIB, "the server's");
    assert!(error.maybe_executed(), "the handler has run");
    assert_eq!(calls.try_recv(), Ok(1));
    client.swap(vec![1], 63 * KIB).await.expect("small enough");
}

async fn a_reply_over_our_limit(net: Net) {
    let (client, mut calls) = sizes(&net, limit(64 * KIB), Limits::default()).await;
    let error = client.swap(vec![1], 3 << 20).await.expect_err("too large");
    assert_names(&error, 3 << 20, 64 * KIB, "this side's");
    assert!(error.maybe_executed(), "the handler has run");
    assert_eq!(calls.try_recv(), Ok(1));
    client.swap(vec![1], 63 * KIB).await.expect("small enough");
}

/// The same signature as written, and another field within.
async fn a_type_that_has_changed_within(net: Net) {
    let server = net.start();
    server.register(new::ItemsServer::new(new::Shelf)).expect("the first of its name");
    let channel = net.connect(&server).await;
    let error =
        old::ItemsClient::new(channel.clone()).find(old::Item { id: 7 }).await.expect_err("it changed");
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    assert!(!error.maybe_executed());
    let found = new::ItemsClient::new(channel).find(new::Item { id: 7, label: 1 }).await.expect("the same");
    assert_eq!(found, 8);
}

mod old {
    use rpcnet::rpc_trait;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Item {
        pub(crate) id: u8,
    }

    #[rpc_trait(name = "test.v1.Items")]
    pub(crate) trait Items {
        async fn find(&self, item: Item) -> rpcnet::Result<u8>;
    }
}

mod new {
    use rpcnet::{rpc_impl, rpc_trait};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Item {
        pub(crate) id: u8,
        pub(crate) label: u8,
    }

    #[rpc_trait(name = "test.v1.Items")]
    pub(crate) trait Items {
        async fn find(&self, item: Item) -> rpcnet::Result<u8>;
    }

    pub(crate) struct Shelf;

    #[rpc_impl]
    impl Items for Shelf {
        async fn find(&self, item: Item) -> rpcnet::Result<u8> {
            Ok(item.id + item.label)
        }
    }
}

async fn metadata_of_a_wrong_name(net: Net) {
    let (client, mut calls) = sizes(&net, Limits::default(), Limits::default()).await;
    for name in ["X-Tenant", "", "x tenant", "tenänt"] {
        let error = client.swap(vec![], 0).metadata(name, "a").metadata("fine", "b").await;
        let error = error.expect_err("no metadata name");
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(!error.maybe_executed());
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
    assert!(calls.try_recv().is_err(), "a handler ran");
}

async fn too_much_metadata(net: Net) {
    let (client, mut calls) = sizes(&net, Limits::default(), Limits::default()).await;
    let mut call = client.swap(vec![], 0);
    for _ in 0..129 {
        call = call.metadata("x", "y");
    }
    let error = call.await.expect_err("one pair too many");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(!error.maybe_executed());

    // As many pairs as are allowed, but more bytes than a header may have.
    let error = client.swap(vec![], 0).metadata("x", "y".repeat(80 * KIB)).await.expect_err("too long");
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(!error.maybe_executed());
    assert!(calls.try_recv().is_err(), "a handler ran");
    client.swap(vec![], 0).await.expect("the connection is unharmed");
}
