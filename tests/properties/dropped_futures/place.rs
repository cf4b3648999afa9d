//! A server with methods of all shapes, and a channel to it.

use std::time::Duration;

use rpcnet::{Channel, Context, Server, ServerConfigBuilder, Streaming, rpc_impl, rpc_trait};
use rpcnet_tests::{Net, within};
use tokio::{sync::mpsc, time::sleep};

#[rpc_trait(name = "test.v1.Shapes")]
pub(crate) trait Shapes {
    #[rpc(idempotent)]
    async fn double(&self, number: u64) -> rpcnet::Result<u64>;
    async fn echo(&self, bytes: Vec<u8>) -> rpcnet::Result<Vec<u8>>;
    async fn count(&self, to: u64) -> rpcnet::Result<Streaming<u64>>;
    async fn sum(&self, numbers: Streaming<u64>) -> rpcnet::Result<u64>;
    async fn list(&self, numbers: Streaming<u64>) -> rpcnet::Result<Vec<u64>>;
    async fn mirror(&self, numbers: Streaming<u64>) -> rpcnet::Result<Streaming<u64>>;
    /// Gives its context to the test, and never returns.
    async fn hang(&self, cx: &Context) -> rpcnet::Result<()>;
}

pub(crate) struct Service(mpsc::UnboundedSender<Context>);

#[rpc_impl]
impl Shapes for Service {
    async fn double(&self, number: u64) -> rpcnet::Result<u64> {
        // Some await points of its own.
        tokio::task::yield_now().await;
        sleep(Duration::from_millis(1)).await;
        Ok(2 * number)
    }

    async fn echo(&self, bytes: Vec<u8>) -> rpcnet::Result<Vec<u8>> {
        Ok(bytes)
    }

    async fn count(&self, to: u64) -> rpcnet::Result<Streaming<u64>> {
        let (sender, numbers) = Streaming::channel(1);
        tokio::spawn(async move {
            for number in 0..to {
                if number % 4 == 1 {
                    sleep(Duration::from_millis(1)).await;
                }
                if sender.send(number).await.is_err() {
                    return;
                }
            }
            sender.finish();
        });
        Ok(numbers)
    }

    async fn sum(&self, mut numbers: Streaming<u64>) -> rpcnet::Result<u64> {
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += number?;
        }
        Ok(sum)
    }

    async fn list(&self, numbers: Streaming<u64>) -> rpcnet::Result<Vec<u64>> {
        numbers.collect().await
    }

    async fn mirror(&self, numbers: Streaming<u64>) -> rpcnet::Result<Streaming<u64>> {
        Ok(numbers)
    }

    async fn hang(&self, cx: &Context) -> rpcnet::Result<()> {
        let _ = self.0.send(cx.clone());
        std::future::pending().await
    }
}

pub(crate) struct Place {
    pub(crate) net: Net,
    pub(crate) server: Server,
    pub(crate) channel: Channel,
    pub(crate) client: ShapesClient,
    pub(crate) contexts: mpsc::UnboundedReceiver<Context>,
}

/// A server with the service that does not run yet.
pub(crate) fn bound(config: ServerConfigBuilder) -> (Server, mpsc::UnboundedReceiver<Context>) {
    let server = Server::new(config.build().expect("complete")).expect("a free port");
    let (sender, contexts) = mpsc::unbounded_channel();
    server.register(ShapesServer::new(Service(sender))).expect("the first of its name");
    (server, contexts)
}

impl Place {
    pub(crate) async fn new(net: &Net) -> Self {
        Self::with(net, net.server()).await
    }

    pub(crate) async fn with(net: &Net, config: ServerConfigBuilder) -> Self {
        let (server, contexts) = bound(config);
        rpcnet_tests::run(&server);
        let channel = net.connect(&server).await;
        let client = ShapesClient::new(channel.clone());
        Self { net: net.clone(), server, channel, client, contexts }
    }

    /// Waits until dropped calls are gone at the server, and makes a call of each kind.
    pub(crate) async fn works(&self) {
        within(self.server.wait_for_in_flight()).await;
        assert_eq!(within(self.client.double(21)).await.expect("it stands"), 42);
        let mirrored = within(self.client.mirror(Streaming::iter([1, 2, 3]))).await.expect("it stands");
        assert_eq!(within(mirrored.collect()).await.expect("a clean end"), [1, 2, 3]);
    }

    /// Does the same on a connection that is made for it.
    pub(crate) async fn works_anew(&self) {
        let client = ShapesClient::new(within(self.net.connect(&self.server)).await);
        assert_eq!(within(client.double(21)).await.expect("it stands"), 42);
    }
}
