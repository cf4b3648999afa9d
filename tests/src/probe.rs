//! A service that tells the test what its handlers do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rpcnet::{Context, rpc_impl, rpc_trait};
use tokio::sync::{mpsc, watch};

use crate::within;

/// A service for tests in which the content of calls does not matter.
#[rpc_trait(name = "test.v1.Probe")]
pub trait Probe {
    /// Gives back what it gets.
    #[rpc(idempotent)]
    async fn echo(&self, text: String) -> rpcnet::Result<String>;

    /// The server's name.
    #[rpc(idempotent)]
    async fn server_name(&self) -> rpcnet::Result<String>;

    /// The caller's name, as its certificate says.
    #[rpc(idempotent)]
    async fn caller_name(&self, cx: &Context) -> rpcnet::Result<String>;

    /// Runs once for each id, or the test has found something. Gives the server's name.
    async fn once(&self, id: u64) -> rpcnet::Result<String>;

    /// As [`once`](Self::once), but runs until the gate is open.
    async fn hold(&self, id: u64) -> rpcnet::Result<String>;

    /// As [`hold`](Self::hold), for a call that may be repeated.
    #[rpc(idempotent)]
    async fn hold_idempotent(&self, id: u64) -> rpcnet::Result<String>;
}

/// An event of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The handler of the call of this id began.
    Started(u64),
    /// It ran to its end.
    Finished(u64),
    /// It was dropped before.
    Dropped(u64),
}

#[derive(Debug)]
struct Shared {
    name: String,
    gate: watch::Sender<bool>,
    executions: Mutex<HashMap<u64, usize>>,
}

/// Implements [`Probe`].
#[derive(Debug)]
pub struct ProbeService {
    shared: Arc<Shared>,
    events: mpsc::UnboundedSender<Event>,
}

/// The test's end of a [`ProbeService`].
#[derive(Debug)]
pub struct Probed {
    shared: Arc<Shared>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl ProbeService {
    /// A service that answers with this name, its gate shut; and what tells of it.
    pub fn new(name: &str) -> (Self, Probed) {
        let (sender, events) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            gate: watch::Sender::new(false),
            executions: Mutex::default(),
        });
        (Self { shared: shared.clone(), events: sender }, Probed { shared, events })
    }

    fn start(&self, id: u64) -> Running {
        *self.shared.executions.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
        let _ = self.events.send(Event::Started(id));
        Running { id, finished: false, events: self.events.clone() }
    }

    async fn run(&self, id: u64) -> rpcnet::Result<String> {
        let running = self.start(id);
        let mut gate = self.shared.gate.subscribe();
        gate.wait_for(|open| *open).await.expect("the service outlives its handlers");
        running.finish();
        Ok(self.shared.name.clone())
    }
}

#[rpc_impl]
impl Probe for ProbeService {
    async fn echo(&self, text: String) -> rpcnet::Result<String> {
        Ok(text)
    }

    async fn server_name(&self) -> rpcnet::Result<String> {
        Ok(self.shared.name.clone())
    }

    async fn caller_name(&self, cx: &Context) -> rpcnet::Result<String> {
        Ok(cx.peer().name().to_owned())
    }

    async fn once(&self, id: u64) -> rpcnet::Result<String> {
        self.start(id).finish();
        Ok(self.shared.name.clone())
    }

    async fn hold(&self, id: u64) -> rpcnet::Result<String> {
        self.run(id).await
    }

    async fn hold_idempotent(&self, id: u64) -> rpcnet::Result<String> {
        self.run(id).await
    }
}

/// A handler at work.
struct Running {
    id: u64,
    finished: bool,
    events: mpsc::UnboundedSender<Event>,
}

impl Running {
    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let event = if self.finished { Event::Finished(self.id) } else { Event::Dropped(self.id) };
        let _ = self.events.send(event);
    }
}

impl Probed {
    /// Lets all handlers through that hold, now and later.
    pub fn open_gate(&self) {
        self.shared.gate.send_replace(true);
    }

    /// The next event.
    ///
    /// # Panics
    ///
    /// When nothing happens, or the service is gone.
    pub async fn event(&mut self) -> Event {
        within(self.events.recv()).await.expect("the service is there")
    }

    /// The next event that [`event`](Self::event) has not yet given, if there is one.
    pub fn try_event(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// The number of times that the handlers of each id were started.
    pub fn executions(&self) -> HashMap<u64, usize> {
        self.shared.executions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
