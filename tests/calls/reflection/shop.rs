//! A service with methods of all shapes, and who asks for it.

use std::collections::BTreeMap;

use rpcnet::{
    CallError, Channel, Code, Context, Server, ServerConfigBuilder, Status, Streaming,
    reflect::{self, ApplicationError, ReflectionClient},
    rpc_impl, rpc_trait,
};
use rpcnet_tests::{Net, within};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[rpc_trait(name = "test.v1.Shop")]
pub(crate) trait Shop {
    #[rpc(idempotent, timeout = "2s", max_message = "1KiB", priority = 3)]
    async fn price(&self, item: Item, rebates: Vec<(u8, Option<i64>)>) -> Result<Price, Refused>;
    async fn nothing(&self) -> rpcnet::Result<()>;
    async fn same_bytes(&self, bytes: Vec<u8>) -> rpcnet::Result<Vec<u8>>;
    async fn high_bytes(&self, count: usize) -> rpcnet::Result<Vec<u8>>;
    async fn keyed(&self, keys: Vec<(u8, u8)>) -> rpcnet::Result<BTreeMap<(u8, u8), u8>>;
    async fn fail(&self, code: u8) -> rpcnet::Result<()>;
    async fn panic(&self) -> rpcnet::Result<()>;
    async fn who(&self, cx: &Context) -> rpcnet::Result<Seen>;
    async fn hang(&self, cx: &Context) -> rpcnet::Result<()>;
    #[rpc(timeout = "300ms")]
    async fn hang_briefly(&self, cx: &Context) -> rpcnet::Result<()>;

    async fn count_down(
        &self,
        cx: &Context,
        from: u32,
        end: End,
    ) -> Result<Streaming<Item, CallError<Refused>>, Refused>;
    async fn sum(&self, first: i64, numbers: Streaming<i64>) -> rpcnet::Result<i64>;
    async fn rename(
        &self,
        to: String,
        items: Streaming<Item, CallError<Refused>>,
    ) -> rpcnet::Result<Streaming<Item>>;
    #[rpc(item_timeout = "200ms")]
    async fn impatient(&self, items: Streaming<Item>) -> rpcnet::Result<u64>;
    #[rpc(item_timeout = "200ms")]
    async fn tick(&self, cx: &Context) -> rpcnet::Result<Streaming<u8>>;
    #[rpc(timeout = "300ms")]
    async fn tick_briefly(&self, cx: &Context) -> rpcnet::Result<Streaming<u8>>;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Item {
    name: String,
    count: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Price {
    Free,
    Cents(i64),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Refused {
    Unknown { name: String },
    Late,
}

/// The end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum End {
    Well,
    Refused,
    Status,
    Never,
}

/// The context of a call as its handler sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) peer: String,
    pub(crate) token: Option<String>,
    pub(crate) mark: Option<u32>,
    pub(crate) remaining_ms: Option<u64>,
}

/// An extension that an interceptor hands on.
pub(crate) struct Mark(pub(crate) u32);

/// Says when a call was cancelled.
#[derive(Clone)]
pub(crate) struct Stall(pub(crate) mpsc::UnboundedSender<&'static str>);

impl Stall {
    fn watch(&self, cx: &Context) {
        let (cx, events) = (cx.clone(), self.0.clone());
        let _ = events.send("started");
        tokio::spawn(async move {
            cx.cancelled().await;
            let _ = events.send("cancelled");
        });
    }
}

#[rpc_impl]
impl Shop for Stall {
    async fn price(&self, item: Item, rebates: Vec<(u8, Option<i64>)>) -> Result<Price, Refused> {
        if item.name == "unicorn" {
            return Err(Refused::Unknown { name: item.name });
        }
        let off: i64 = rebates.iter().map(|(percent, cents)| i64::from(*percent) + cents.unwrap_or(0)).sum();
        Ok(if item.count == 0 { Price::Free } else { Price::Cents(100 * i64::from(item.count) - off) })
    }

    async fn nothing(&self) -> rpcnet::Result<()> {
        Ok(())
    }

    async fn same_bytes(&self, bytes: Vec<u8>) -> rpcnet::Result<Vec<u8>> {
        Ok(bytes)
    }

    async fn high_bytes(&self, count: usize) -> rpcnet::Result<Vec<u8>> {
        Ok(vec![200; count])
    }

    async fn keyed(&self, keys: Vec<(u8, u8)>) -> rpcnet::Result<BTreeMap<(u8, u8), u8>> {
        Ok(keys.into_iter().map(|key| (key, 0)).collect())
    }

    async fn fail(&self, code: u8) -> rpcnet::Result<()> {
        Err(Status::new(Code::from_u8(code), "as it was told").with_details(vec![1, 2]))
    }

    async fn panic(&self) -> rpcnet::Result<()> {
        panic!("as it was told")
    }

    async fn who(&self, cx: &Context) -> rpcnet::Result<Seen> {
        cx.add_metadata("x-said", "before").expect("a name");
        cx.add_trailer("x-ended", "after").expect("a name");
        Ok(Seen {
            method: cx.method().to_string(),
            peer: cx.peer().name().to_owned(),
            token: cx.metadata().get("x-token").map(str::to_owned),
            mark: cx.extension::<Mark>().map(|mark| mark.0),
            remaining_ms: cx.remaining().map(|remaining| remaining.as_millis() as u64),
        })
    }

    async fn hang(&self, cx: &Context) -> rpcnet::Result<()> {
        self.watch(cx);
        std::future::pending().await
    }

    async fn hang_briefly(&self, cx: &Context) -> rpcnet::Result<()> {
        self.hang(cx).await
    }

    async fn count_down(
        &self,
        cx: &Context,
        from: u32,
        end: End,
    ) -> Result<Streaming<Item, CallError<Refused>>, Refused> {
        if from == 0 {
            return Err(Refused::Late);
        }
        self.watch(cx);
        let (cx, (sender, items)) = (cx.clone(), Streaming::channel(1));
        tokio::spawn(async move {
            for count in (1..=from).rev() {
                if sender.send(Item { name: "rocket".into(), count }).await.is_err() {
                    return;
                }
            }
            let _ = cx.add_trailer("x-ended", "after");
            match end {
                End::Well => sender.finish(),
                End::Refused => sender.fail(CallError::Application(Refused::Late)).await,
                End::Status => sender.fail(Status::aborted("no start")).await,
                End::Never => sender.closed().await,
            }
        });
        Ok(items)
    }

    async fn sum(&self, first: i64, mut numbers: Streaming<i64>) -> rpcnet::Result<i64> {
        let mut sum = first;
        while let Some(number) = numbers.next().await {
            sum += number?;
        }
        Ok(sum)
    }

    async fn rename(
        &self,
        to: String,
        mut items: Streaming<Item, CallError<Refused>>,
    ) -> rpcnet::Result<Streaming<Item>> {
        let (sender, renamed) = Streaming::channel(1);
        tokio::spawn(async move {
            while let Some(item) = items.next().await {
                match item {
                    Ok(item) if sender.send(Item { name: to.clone(), ..item }).await.is_ok() => {}
                    Ok(_) => return,
                    Err(CallError::Status(status)) => return sender.fail(status).await,
                    Err(error) => return sender.fail(Status::internal(error.code().to_string())).await,
                }
            }
            sender.finish();
        });
        Ok(renamed)
    }

    async fn impatient(&self, items: Streaming<Item>) -> rpcnet::Result<u64> {
        Ok(items.collect().await?.len() as u64)
    }

    async fn tick(&self, cx: &Context) -> rpcnet::Result<Streaming<u8>> {
        self.watch(cx);
        let (sender, ticks) = Streaming::channel(1);
        tokio::spawn(async move {
            let _ = sender.send(1).await;
            sender.closed().await;
        });
        Ok(ticks)
    }

    async fn tick_briefly(&self, cx: &Context) -> rpcnet::Result<Streaming<u8>> {
        self.tick(cx).await
    }
}

pub(crate) type Answers = Vec<Result<String, CallError<ApplicationError>>>;

/// A server with a stall that tells of itself, and who asks it.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) channel: Channel,
    pub(crate) reflection: ReflectionClient,
    pub(crate) events: mpsc::UnboundedReceiver<&'static str>,
}

impl Bench {
    pub(crate) async fn new(net: &Net) -> Self {
        Self::with(net, net.server()).await
    }

    pub(crate) async fn with(net: &Net, config: ServerConfigBuilder) -> Self {
        let server = net.start_with(config);
        let (sender, events) = mpsc::unbounded_channel();
        server.register(ShopServer::new(Stall(sender))).expect("the first of its name");
        server.register(reflect::service()).expect("the first of its name");
        let channel = net.connect(&server).await;
        Self { reflection: ReflectionClient::new(channel.clone()), server, channel, events }
    }

    pub(crate) async fn stream(
        &self,
        method: &str,
        arguments: &str,
    ) -> Result<Streaming<String, CallError<ApplicationError>>, Status> {
        let method = format!("test.v1.Shop/{method}");
        within(self.reflection.call(method, arguments.to_owned())).await.map_err(Status::from)
    }

    /// All that comes, with what ended it.
    pub(crate) async fn call(&self, method: &str, arguments: &str) -> Result<Answers, Status> {
        Ok(all(self.stream(method, arguments).await?).await)
    }

    pub(crate) async fn call_items(
        &self,
        method: &str,
        arguments: &str,
        items: &[&str],
    ) -> Result<Answers, Status> {
        let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
        let method = format!("test.v1.Shop/{method}");
        let call = self.reflection.call_items(method, arguments.to_owned(), Streaming::iter(items));
        Ok(all(within(call).await?).await)
    }

    /// The one value that comes.
    pub(crate) async fn value(&self, method: &str, arguments: &str) -> String {
        one(self.call(method, arguments).await.expect("it is called"))
    }

    pub(crate) async fn refused(&self, method: &str, arguments: &str, code: Code) -> String {
        let status = self.call(method, arguments).await.expect_err("it is refused");
        assert_eq!(status.code(), code, "{status}");
        status.message().to_owned()
    }

    pub(crate) async fn event(&mut self) -> &'static str {
        within(self.events.recv()).await.expect("the stall stands")
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.server.metrics().render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a count"))
    }
}

pub(crate) async fn all(mut answers: Streaming<String, CallError<ApplicationError>>) -> Answers {
    let mut all = Vec::new();
    while let Some(answer) = within(answers.next()).await {
        all.push(answer);
    }
    all
}

pub(crate) fn one(answers: Answers) -> String {
    let [Ok(answer)] = &answers[..] else { panic!("{answers:?}") };
    answer.clone()
}
