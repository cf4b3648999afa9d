//! The client's side of a call: a task that makes it, and one that makes its items.

use std::sync::{Arc, Mutex, MutexGuard};

use rpcnet::{
    BalancedChannel, Call, CallError, Caller, Channel, ReplyFuture, Request, Status, StreamSender, Streaming,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    script::{ClientStep, HandlerStep, Shape},
    service::{Conversation, Item, Refused, Service, ToldClient},
};

/// The channel that calls are made on.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    One(Channel),
    Many(BalancedChannel),
}

impl Caller for Line {
    type Future = ReplyFuture;

    fn call(&self, request: Request) -> ReplyFuture {
        match self {
            Self::One(channel) => Box::pin(channel.call(request)),
            Self::Many(channel) => Box::pin(channel.call(request)),
        }
    }
}

/// The end of a call for its caller.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Value(u64),
    /// All items came.
    Clean,
    Refused(u64),
    Status(Status),
}

/// The end of a caller's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceEnd {
    Finished,
    Failed,
    BrokeOff,
}

/// The caller's account of a call.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Number and size of the items that came.
    pub(crate) items: Vec<(usize, usize)>,
    pub(crate) end: Option<(End, Instant)>,
    /// Number and size of the items that were sent, or were about to be.
    pub(crate) sent: Vec<(usize, usize)>,
    pub(crate) sent_end: Option<SourceEnd>,
}

/// A call, from both sides.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) shape: Shape,
    pub(crate) timeout: Option<Duration>,
    pub(crate) item_timeout: Option<Duration>,
    pub(crate) started: Instant,
    pub(crate) given_up: bool,
    pub(crate) conversation: Arc<Conversation>,
    report: Arc<Mutex<Report>>,
    handler: Option<mpsc::UnboundedSender<HandlerStep>>,
    source: Option<mpsc::UnboundedSender<ClientStep>>,
    reads: Arc<Semaphore>,
    pub(crate) tasks: Vec<JoinHandle<()>>,
}

impl Attempt {
    pub(crate) fn start(
        line: &Line,
        service: &Service,
        id: u64,
        shape: Shape,
        [timeout, item_timeout]: [Option<Duration>; 2],
    ) -> Self {
        let client = ToldClient::new(line.clone());
        let (handler, conversation) = service.expect(id);
        let report = Arc::<Mutex<Report>>::default();
        let reads = Arc::new(Semaphore::new(0));
        let (source, steps) = mpsc::unbounded_channel();
        let (sender, items) = Streaming::channel(1);
        let asking = Asking { timeout, item_timeout, reads: reads.clone(), report: report.clone() };
        let mut tasks = vec![match shape {
            Shape::Unary => tokio::spawn(asking.one(client.unary(id))),
            Shape::Steady => tokio::spawn(asking.one(client.steady(id))),
            Shape::Down => tokio::spawn(asking.many(client.down(id))),
            Shape::Up => tokio::spawn(asking.one(client.up(id, items))),
            Shape::Both => tokio::spawn(asking.many(client.both(id, items))),
            Shape::Impatient => tokio::spawn(asking.many(client.impatient(id, items))),
        }];
        if shape.sends_items() {
            tasks.push(tokio::spawn(send(sender, steps, report.clone())));
        }
        Self {
            shape,
            timeout,
            item_timeout,
            started: Instant::now(),
            given_up: false,
            conversation,
            report,
            handler: Some(handler),
            source: shape.sends_items().then_some(source),
            reads,
            tasks,
        }
    }

    pub(crate) fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().expect("nobody panics with it")
    }

    pub(crate) fn client(&mut self, step: ClientStep) {
        match step {
            ClientStep::Read(items) => self.reads.add_permits(items),
            ClientStep::GiveUp => {
                self.given_up = true;
                self.tasks[0].abort();
            }
            step => {
                if let Some(source) = &self.source {
                    let _ = source.send(step);
                }
            }
        }
    }

    pub(crate) fn handler(&self, step: HandlerStep) {
        if let Some(handler) = &self.handler {
            let _ = handler.send(step);
        }
    }

    /// The client says and reads all that is left.
    pub(crate) fn let_client_finish(&mut self) {
        self.source = None;
        // More than are ever read; it is said twice at most.
        self.reads.add_permits(1 << 20);
    }

    /// The handler does what it was told, and finishes.
    pub(crate) fn let_handler_finish(&mut self) {
        self.handler = None;
    }
}

/// The task of a call.
struct Asking {
    timeout: Option<Duration>,
    item_timeout: Option<Duration>,
    reads: Arc<Semaphore>,
    report: Arc<Mutex<Report>>,
}

/// The service's own error, where the method has one.
trait Own {
    fn id(self) -> u64;
}

impl Own for Refused {
    fn id(self) -> u64 {
        self.0
    }
}

impl Own for std::convert::Infallible {
    fn id(self) -> u64 {
        match self {}
    }
}

fn failed<E: Own>(error: CallError<E>) -> End {
    match error {
        CallError::Application(refused) => End::Refused(refused.id()),
        CallError::Status(status) => End::Status(status),
    }
}

impl Asking {
    fn with<T, E>(&self, mut call: Call<Line, T, E>) -> Call<Line, T, E> {
        if let Some(timeout) = self.timeout {
            call = call.timeout(timeout);
        }
        if let Some(timeout) = self.item_timeout {
            call = call.item_timeout(timeout);
        }
        call
    }

    fn end(&self, end: End) {
        let before = self.report().end.replace((end, Instant::now()));
        assert!(before.is_none(), "it ended twice");
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().expect("nobody panics with it")
    }

    async fn one<E: Own>(self, call: Call<Line, u64, E>) {
        self.end(match self.with(call).await {
            Ok(value) => End::Value(value),
            Err(error) => failed(error),
        });
    }

    async fn many(self, call: Call<Line, Streaming<Item, CallError<Refused>>, Refused>) {
        let mut items = match self.with(call).await {
            Ok(items) => items,
            Err(error) => return self.end(failed(error)),
        };
        loop {
            self.reads.acquire().await.expect("it is never closed").forget();
            let end = match items.next().await {
                Some(Ok(item)) => {
                    self.report().items.push(item.checked());
                    continue;
                }
                Some(Err(error)) => failed(error),
                None => End::Clean,
            };
            self.end(end);
            assert!(items.next().await.is_none(), "the end stays the end");
            return;
        }
    }
}

/// The task of a caller's items.
async fn send(
    sender: StreamSender<Item>,
    mut steps: mpsc::UnboundedReceiver<ClientStep>,
    report: Arc<Mutex<Report>>,
) {
    let report = || report.lock().expect("nobody panics with it");
    loop {
        match steps.recv().await.unwrap_or(ClientStep::HalfClose) {
            ClientStep::Say(size) => {
                let item = (report().sent.len(), size);
                report().sent.push(item);
                if sender.send(Item::new(item)).await.is_err() {
                    return;
                }
            }
            ClientStep::HalfClose => {
                report().sent_end = Some(SourceEnd::Finished);
                return sender.finish();
            }
            ClientStep::Fail => {
                report().sent_end = Some(SourceEnd::Failed);
                return sender.fail(Status::data_loss("as it was told")).await;
            }
            ClientStep::BreakOff => {
                report().sent_end = Some(SourceEnd::BrokeOff);
                return;
            }
            ClientStep::Read(_) | ClientStep::GiveUp => unreachable!("not for the source"),
        }
    }
}
