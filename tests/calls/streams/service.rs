//! The service that is called, and where it is.

use rpcnet::{
    CallError, Code, Context, Limits, Server, Status, StreamSender, Streaming, rpc_impl, rpc_trait,
};
use rpcnet_tests::{Net, within};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[rpc_trait(name = "test.v1.Streams")]
pub(crate) trait Streams {
    async fn play(
        &self,
        cx: &Context,
        script: Vec<Step>,
    ) -> Result<Streaming<String, CallError<Refused>>, Refused>;
    async fn blocks(&self, count: u64, size: usize) -> rpcnet::Result<Streaming<Vec<u8>>>;
    async fn sum(&self, cx: &Context, first: u64, numbers: Streaming<u64>) -> Result<u64, Refused>;
    async fn first(&self, numbers: Streaming<u64>) -> rpcnet::Result<Option<u64>>;
    async fn sizes(&self, blocks: Streaming<Vec<u8>>) -> rpcnet::Result<Vec<usize>>;
    async fn chat(&self, cx: &Context, said: Streaming<String>) -> rpcnet::Result<Streaming<String>>;
    async fn mirror(&self, said: Streaming<String>) -> rpcnet::Result<Streaming<String>>;
    #[rpc(item_timeout = "500ms")]
    async fn impatient(&self, said: Streaming<String>) -> rpcnet::Result<Streaming<String>>;
    async fn units(&self, count: usize) -> rpcnet::Result<Streaming<()>>;
}

/// The next step of a handler.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Step {
    Say(String),
    /// End in the stream's own error.
    Refuse(String),
    /// End in a status.
    Fail,
    /// Drop the sender.
    Forget,
    Panic,
    Hang,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused(pub(crate) String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// An event that a handler has seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The context said that the call was cancelled.
    Cancelled,
    /// Nobody reads what it sends.
    Closed,
    /// The incoming items ended, with an error or without.
    Ended(Option<Code>),
}

#[derive(Clone)]
pub(crate) struct Service(mpsc::UnboundedSender<Seen>);

impl Service {
    fn saw(&self, seen: Seen) {
        let _ = self.0.send(seen);
    }
}

#[rpc_impl]
impl Streams for Service {
    async fn play(
        &self,
        cx: &Context,
        script: Vec<Step>,
    ) -> Result<Streaming<String, CallError<Refused>>, Refused> {
        if let [Step::Refuse(why), ..] = &script[..] {
            return Err(Refused(why.clone()));
        }
        if script.iter().any(|step| matches!(step, Step::Panic)) {
            return Ok(Streaming::iter(script.into_iter().map(|step| match step {
                Step::Say(text) => text,
                _ => panic!("as the script says"),
            })));
        }
        let (sender, items) = Streaming::channel(1);
        let (cx, service) = (cx.clone(), self.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = play(script, sender) => {}
                () = cx.cancelled() => service.saw(Seen::Cancelled),
            }
        });
        Ok(items)
    }

    async fn blocks(&self, count: u64, size: usize) -> rpcnet::Result<Streaming<Vec<u8>>> {
        let (sender, blocks) = Streaming::channel(1);
        let service = self.clone();
        tokio::spawn(async move {
            for _ in 0..count {
                if sender.send(vec![7; size]).await.is_err() {
                    return service.saw(Seen::Closed);
                }
            }
            sender.finish();
        });
        Ok(blocks)
    }

    async fn sum(&self, cx: &Context, first: u64, mut numbers: Streaming<u64>) -> Result<u64, Refused> {
        let (cx, service) = (cx.clone(), self.clone());
        // In a task, so that it sees what happens when the handler is dropped.
        let adding = tokio::spawn(async move {
            let mut sum = first;
            loop {
                match numbers.next().await {
                    Some(Ok(13)) => return Err(Refused("13".into())),
                    Some(Ok(number)) => sum += number,
                    Some(Err(status)) => {
                        service.saw(Seen::Ended(Some(status.code())));
                        return Err(Refused(status.to_string()));
                    }
                    None => {
                        service.saw(Seen::Ended(None));
                        assert!(numbers.next().await.is_none(), "the end stays the end");
                        assert!(!cx.is_cancelled());
                        return Ok(sum);
                    }
                }
            }
        });
        adding.await.expect("no panic")
    }

    async fn first(&self, mut numbers: Streaming<u64>) -> rpcnet::Result<Option<u64>> {
        numbers.next().await.transpose()
    }

    async fn sizes(&self, mut blocks: Streaming<Vec<u8>>) -> rpcnet::Result<Vec<usize>> {
        let mut sizes = Vec::new();
        while let Some(block) = blocks.next().await {
            sizes.push(block?.len());
        }
        Ok(sizes)
    }

    async fn chat(&self, cx: &Context, mut said: Streaming<String>) -> rpcnet::Result<Streaming<String>> {
        let (sender, answers) = Streaming::channel(1);
        let (cx, service) = (cx.clone(), self.clone());
        tokio::spawn(async move {
            while let Some(text) = said.next().await {
                match text {
                    Ok(text) if sender.send(text.to_uppercase()).await.is_ok() => {}
                    Ok(_) => return service.saw(Seen::Closed),
                    Err(status) => return service.saw(Seen::Ended(Some(status.code()))),
                }
            }
            // The other way is still open.
            let _ = sender.send(format!("goodbye, {}", cx.is_cancelled())).await;
            sender.finish();
        });
        Ok(answers)
    }

    async fn mirror(&self, said: Streaming<String>) -> rpcnet::Result<Streaming<String>> {
        Ok(said)
    }

    async fn impatient(&self, mut said: Streaming<String>) -> rpcnet::Result<Streaming<String>> {
        let service = self.clone();
        tokio::spawn(async move {
            while let Some(text) = said.next().await {
                if let Err(status) = text {
                    return service.saw(Seen::Ended(Some(status.code())));
                }
            }
        });
        Ok(Streaming::new(Never))
    }

    async fn units(&self, count: usize) -> rpcnet::Result<Streaming<()>> {
        Ok(Streaming::iter(std::iter::repeat_n((), count)))
    }
}

async fn play(script: Vec<Step>, sender: StreamSender<String, CallError<Refused>>) {
    for step in script {
        match step {
            Step::Say(text) => {
                let _ = sender.send(text).await;
            }
            Step::Refuse(why) => return sender.fail(CallError::Application(Refused(why))).await,
            Step::Fail => return sender.fail(Status::not_found("the rest")).await,
            Step::Forget | Step::Panic => return,
            Step::Hang => std::future::pending().await,
        }
    }
    sender.finish();
}

/// A stream without items and without end.
pub(crate) struct Never;

impl futures_core::Stream for Never {
    type Item = rpcnet::Result<String>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Pending
    }
}

pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) client: StreamsClient,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Place {
    pub(crate) async fn new(net: &Net) -> Self {
        Self::with(net, Limits::default(), Limits::default()).await
    }

    pub(crate) async fn with(net: &Net, server: Limits, client: Limits) -> Self {
        let server = net.start_with(net.server().with_limits(server));
        let (sender, seen) = mpsc::unbounded_channel();
        server.register(StreamsServer::new(Service(sender))).expect("the first of its name");
        let channel = net.channel().with_limits(client);
        let channel = channel.connect(net.address(&server)).await.expect("it listens");
        Self { server, client: StreamsClient::new(channel), seen }
    }

    pub(crate) async fn seen(&mut self) -> Seen {
        within(self.seen.recv()).await.expect("the service stands")
    }

    /// All is over: nothing is at work any more.
    pub(crate) async fn quiet(&self) {
        within(self.server.wait_for_in_flight()).await;
    }
}

pub(crate) fn say(texts: &[&str]) -> Vec<Step> {
    texts.iter().map(|text| Step::Say((*text).to_owned())).collect()
}

pub(crate) fn texts(texts: &[&str]) -> Streaming<String> {
    Streaming::iter(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
}
