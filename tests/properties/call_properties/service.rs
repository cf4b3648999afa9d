//! A service whose handlers do what they are told, and account for what becomes of them.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context as Cx, Poll},
};

use futures_core::Stream;
use rpcnet::{CallError, Code, Context, Status, StreamSender, Streaming, rpc_impl, rpc_trait};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::script::HandlerStep;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    index: usize,
    filling: Vec<u8>,
}

impl Item {
    pub(crate) fn new((index, size): (usize, usize)) -> Self {
        Self { index, filling: vec![index as u8; size] }
    }

    /// Its number and its size, where it is as it was made.
    pub(crate) fn checked(&self) -> (usize, usize) {
        assert!(self.filling.iter().all(|byte| *byte == self.index as u8), "item {} has changed", self.index);
        (self.index, self.filling.len())
    }
}

/// The service's own error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused(pub(crate) u64);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} is refused", self.0)
    }
}

impl std::error::Error for Refused {}

#[rpc_trait(name = "test.v1.Told")]
pub(crate) trait Told {
    async fn unary(&self, id: u64) -> rpcnet::Result<u64>;
    #[rpc(idempotent)]
    async fn steady(&self, id: u64) -> rpcnet::Result<u64>;
    async fn down(&self, id: u64) -> Result<Streaming<Item, CallError<Refused>>, Refused>;
    async fn up(&self, id: u64, items: Streaming<Item>) -> Result<u64, Refused>;
    async fn both(
        &self,
        id: u64,
        items: Streaming<Item>,
    ) -> Result<Streaming<Item, CallError<Refused>>, Refused>;
    #[rpc(item_timeout = "500ms")]
    async fn impatient(
        &self,
        cx: &Context,
        id: u64,
        items: Streaming<Item>,
    ) -> Result<Streaming<Item, CallError<Refused>>, Refused>;
}

/// The end of a handler that was not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Finished,
    Refused,
    Failed,
    Forgot,
    Panicked,
}

/// The handler's account of a call.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) started: usize,
    pub(crate) over: usize,
    /// Number and size of the items that came.
    pub(crate) heard: Vec<(usize, usize)>,
    /// The end of the caller's items: clean or not.
    pub(crate) heard_end: Option<Result<(), Code>>,
    /// Number and size of the items that were sent, or were about to be.
    pub(crate) said: Vec<(usize, usize)>,
    /// One for each handler that ended by itself.
    pub(crate) verdicts: Vec<Verdict>,
}

/// A call as its handler knows it; as its handlers do, where it is repeated.
#[derive(Debug)]
pub(crate) struct Conversation {
    id: u64,
    steps: tokio::sync::Mutex<mpsc::UnboundedReceiver<HandlerStep>>,
    account: Mutex<Account>,
}

impl Conversation {
    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().expect("nobody panics with it")
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    fn settle(&self, verdict: Verdict) {
        self.account().verdicts.push(verdict);
    }
}

impl Account {
    /// The answer of a method that has one.
    pub(crate) fn value(&self, id: u64) -> u64 {
        1000 * id + self.heard.len() as u64
    }
}

/// Implements [`Told`]; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Service(Arc<Mutex<HashMap<u64, Arc<Conversation>>>>);

impl Service {
    /// Prepares the call of this id. What is told here is done by its handler; where nobody tells more, it finishes.
    pub(crate) fn expect(&self, id: u64) -> (mpsc::UnboundedSender<HandlerStep>, Arc<Conversation>) {
        let (tell, steps) = mpsc::unbounded_channel();
        let account = Mutex::default();
        let conversation = Arc::new(Conversation { id, steps: tokio::sync::Mutex::new(steps), account });
        self.0.lock().expect("nobody panics with it").insert(id, conversation.clone());
        (tell, conversation)
    }

    fn enter(&self, id: u64) -> Handling {
        let conversation = self.0.lock().expect("nobody panics with it")[&id].clone();
        conversation.account().started += 1;
        Handling(conversation)
    }
}

/// A handler at work.
struct Handling(Arc<Conversation>);

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.account().over += 1;
    }
}

impl Handling {
    async fn step(&self) -> HandlerStep {
        self.0.steps.lock().await.recv().await.unwrap_or(HandlerStep::Finish)
    }

    fn panic(&self) -> ! {
        self.0.settle(Verdict::Panicked);
        // As a panic, but without the hook that would print it.
        std::panic::resume_unwind(Box::new("as it was told"))
    }

    async fn hear(&self, items: &mut Option<Streaming<Item>>) {
        let Some(items) = items else { return };
        let over = self.0.account().heard_end.is_some();
        match items.next().await {
            item if over => assert!(item.is_none(), "the end stays the end"),
            Some(Ok(item)) => self.0.account().heard.push(item.checked()),
            Some(Err(status)) => self.0.account().heard_end = Some(Err(status.code())),
            None => self.0.account().heard_end = Some(Ok(())),
        }
    }

    /// Comes to one answer.
    async fn answer(self, mut items: Option<Streaming<Item>>) -> Result<u64, Verdict> {
        let verdict = loop {
            match self.step().await {
                HandlerStep::Read => self.hear(&mut items).await,
                HandlerStep::DropItems => items = None,
                HandlerStep::Say(_) => {}
                HandlerStep::Finish | HandlerStep::Forget => break Verdict::Finished,
                HandlerStep::Refuse => break Verdict::Refused,
                HandlerStep::Fail => break Verdict::Failed,
                HandlerStep::Panic => self.panic(),
            }
        };
        self.0.settle(verdict);
        if verdict == Verdict::Finished { Ok(self.0.account().value(self.0.id)) } else { Err(verdict) }
    }

    /// Comes to a stream: what is to be done, and the stream that it fills.
    async fn begin(
        self,
        items: Option<Streaming<Item>>,
    ) -> Result<(impl Future<Output = ()> + Send + 'static, Streaming<Item, CallError<Refused>>), Refused>
    {
        let first = self.step().await;
        match first {
            HandlerStep::Refuse => {
                self.0.settle(Verdict::Refused);
                return Err(Refused(self.0.id));
            }
            HandlerStep::Panic => self.panic(),
            _ => {}
        }
        let (sender, answers) = Streaming::channel(1);
        Ok((self.fill(first, items, sender), answers))
    }

    async fn fill(
        self,
        first: HandlerStep,
        mut items: Option<Streaming<Item>>,
        sender: StreamSender<Item, CallError<Refused>>,
    ) {
        let mut next = Some(first);
        loop {
            let step = match next.take() {
                Some(first) => first,
                None => self.step().await,
            };
            match step {
                HandlerStep::Read => self.hear(&mut items).await,
                HandlerStep::DropItems => items = None,
                HandlerStep::Say(size) => {
                    let item = (self.0.account().said.len(), size);
                    self.0.account().said.push(item);
                    // Where nobody reads, there are still steps to take.
                    let _ = sender.send(Item::new(item)).await;
                }
                HandlerStep::Finish => {
                    self.0.settle(Verdict::Finished);
                    return sender.finish();
                }
                HandlerStep::Refuse => {
                    self.0.settle(Verdict::Refused);
                    return sender.fail(CallError::Application(Refused(self.0.id))).await;
                }
                HandlerStep::Fail => {
                    self.0.settle(Verdict::Failed);
                    return sender.fail(Status::not_found("as it was told")).await;
                }
                HandlerStep::Forget => return self.0.settle(Verdict::Forgot),
                HandlerStep::Panic => self.panic(),
            }
        }
    }
}

#[rpc_impl]
impl Told for Service {
    async fn unary(&self, id: u64) -> rpcnet::Result<u64> {
        self.enter(id).answer(None).await.map_err(|_| Status::not_found("as it was told"))
    }

    async fn steady(&self, id: u64) -> rpcnet::Result<u64> {
        self.enter(id).answer(None).await.map_err(|_| Status::not_found("as it was told"))
    }

    async fn down(&self, id: u64) -> Result<Streaming<Item, CallError<Refused>>, Refused> {
        let (work, answers) = self.enter(id).begin(None).await?;
        Ok(Streaming::new(Worked { work: Some(Box::pin(work)), answers }))
    }

    async fn up(&self, id: u64, items: Streaming<Item>) -> Result<u64, Refused> {
        self.enter(id).answer(Some(items)).await.map_err(|_| Refused(id))
    }

    async fn both(
        &self,
        id: u64,
        items: Streaming<Item>,
    ) -> Result<Streaming<Item, CallError<Refused>>, Refused> {
        let (work, answers) = self.enter(id).begin(Some(items)).await?;
        Ok(Streaming::new(Worked { work: Some(Box::pin(work)), answers }))
    }

    async fn impatient(
        &self,
        cx: &Context,
        id: u64,
        items: Streaming<Item>,
    ) -> Result<Streaming<Item, CallError<Refused>>, Refused> {
        let (work, answers) = self.enter(id).begin(Some(items)).await?;
        let cx = cx.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = work => {}
                () = cx.cancelled() => {}
            }
        });
        Ok(answers)
    }
}

/// A stream that does the work that fills it while it is polled.
struct Worked {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    answers: Streaming<Item, CallError<Refused>>,
}

impl Stream for Worked {
    type Item = Result<Item, CallError<Refused>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Option<Self::Item>> {
        if let Some(work) = &mut self.work
            && work.as_mut().poll(cx).is_ready()
        {
            self.work = None;
        }
        Pin::new(&mut self.answers).poll_next(cx)
    }
}
