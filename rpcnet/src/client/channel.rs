//! A channel to one server.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustls_pki_types::UnixTime;
use tokio::time::{Instant, timeout_at};

use super::{
    ChannelBuilder,
    resume::{self, Reopen},
};
use crate::{
    Caller, ConfigError, Reply, Request, Status,
    connect::{ConnectionPool, Dialer, tell},
    interceptor::{self, Next},
    message::{Answer, ReplyFuture},
    runtime::{Runtime, Within},
    session::{LaneCall, Session, Times, inherit_trace},
    tls::{CaCertificates, OwnCertificate},
};

/// How long a stream that was cut off waits for a connection on which it can go on.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to one server, made again whenever it is lost. Cheap to clone.
///
/// A call waits for an attempt to connect that is under way; between attempts it fails at once with `Unavailable`
/// and the reason why the last attempt failed. The connection is closed when the last clone and the last call are
/// dropped. The server is then told as soon as the runtime has a turn, and at the latest when the runtime is shut down.
/// [`close`](Self::close) waits until it was told. A process that ends without shutting its runtime down
/// ([`std::process::exit`], a signal) tells nobody, and its connections stand at the server until their idle timeout, 30 s.
///
/// Connections and their tasks belong to the tokio runtime on which the socket was opened ([`Connector`](crate::Connector)).
/// Calls may be awaited on any runtime, and on executors that are not tokio's.
///
/// A stream of a `resumable` method that is cut off goes on when the server, or its successor at this address, is there
/// within 5 s.
///
/// Where more calls gather than one connection can carry, further ones are opened, and closed when they are not used any
/// more ([`ChannelBuilder::with_max_connections`]).
#[derive(Debug, Clone)]
pub struct Channel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    core: Arc<Core>,
    /// The interceptors, where there are some; at their end stands the core.
    chain: Option<Next>,
}

/// A channel without interceptors.
#[derive(Debug)]
struct Core {
    dialer: Arc<Dialer>,
    pool: ConnectionPool,
}

impl Channel {
    pub(super) fn new(dialer: Arc<Dialer>, pool: ConnectionPool) -> Self {
        let core = Arc::new(Core { dialer, pool });
        let chain = core.dialer.interceptors.around(ChannelEnd(core.clone()));
        Self { inner: Arc::new(Inner { core, chain }) }
    }

    /// Starts to describe a channel.
    pub fn builder() -> ChannelBuilder {
        ChannelBuilder::default()
    }

    /// Shows another certificate in new handshakes; the connection that stands goes on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a certificate or key that is not usable, for a certificate that has expired or is not valid yet, and
    /// for one of a CA that is not trusted here, unless the one in force is of such a CA too. The one in force stays so.
    pub async fn reload_certificate(
        &self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<(), ConfigError> {
        self.inner
            .core
            .dialer
            .tls
            .replace_own(&OwnCertificate::from_pem(cert.as_ref(), key.as_ref())?, UnixTime::now())
    }

    /// Trusts these CAs, and no others, in new handshakes; the connection that stands goes on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for text that holds no usable certificate; those before stay in force.
    pub async fn reload_ca_cert(&self, pem: impl AsRef<[u8]>) -> Result<(), ConfigError> {
        self.inner.core.dialer.tls.replace_trust(&CaCertificates::from_pem(pem.as_ref())?, UnixTime::now())
    }

    /// Closes the channel, for all its clones: ends its connections and says goodbye to the server.
    ///
    /// Returns when the transport has sent the goodbye: mostly within milliseconds, at most within a second. Calls at work
    /// end as [`Unavailable`](crate::Code::Unavailable), on all clones, and their handlers are dropped: close the channel
    /// when the calls that matter have ended. Calls made after that fail at once as `Unavailable`, not executed. Closing
    /// twice does no harm.
    ///
    /// Cancel-safe: the channel is closed at the first poll, and what is dropped is the wait.
    pub async fn close(&self) {
        let core = &self.inner.core;
        let sessions = core.pool.closing().close();
        core.dialer.runtime.run(tell(sessions)).await;
    }

    /// Whether a connection stands on which calls can be sent.
    pub fn is_connected(&self) -> bool {
        self.inner.core.pool.is_ready()
    }
}

/// The end of the chain of a channel's interceptors: the call.
#[derive(Debug)]
struct ChannelEnd(Arc<Core>);

impl interceptor::Service for ChannelEnd {
    fn call(&self, request: Request) -> ReplyFuture {
        Box::pin(self.0.clone().call(request))
    }
}

impl Core {
    async fn session(&self, by: Instant) -> Result<Session, Status> {
        timeout_at(by, self.pool.session())
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no connection came in time").not_executed()))
    }

    async fn call(self: Arc<Self>, request: Request) -> Result<Reply, Status> {
        let times = Times::of(&request, &self.dialer.limits);
        if request.method.resumable() {
            return resume::call(self, request, times, PATIENCE).await;
        }
        self.attempt(request, times).await.map(|(reply, _)| reply)
    }

    /// Makes a call; gives the session that has answered.
    async fn attempt(&self, request: Request, times: Times) -> Result<(Reply, Session), Status> {
        let session = match self.pool.ready() {
            Some(session) => session,
            None => Box::pin(self.session(times.open_by())).await?,
        };
        let result = session.call(&request, &times).await;
        self.once_more(request, times, session, result).await
    }

    /// Whether a server went away in the moment in which the call was sent, and never started it: the next connection
    /// may lead to its successor.
    fn was_left(request: &Request, session: &Session, status: &Status) -> bool {
        !status.maybe_executed() && request.is_repeatable() && session.condition().borrow().draining
    }

    /// Gives the result, of this call or of one that is made in its place. So many times as there can be connections to
    /// a server that goes away, and one more: it may tell each of them later than the one before.
    async fn once_more(
        &self,
        request: Request,
        times: Times,
        mut session: Session,
        mut result: Result<Reply, Status>,
    ) -> Result<(Reply, Session), Status> {
        for _ in 0..=self.dialer.max_connections {
            let status = match result {
                Ok(reply) => return Ok((reply, session)),
                Err(status) => status,
            };
            if !Self::was_left(&request, &session, &status) {
                return Err(status);
            }
            session = Box::pin(self.session(times.open_by())).await.map_err(|_| status)?;
            result = Box::pin(session.call(&request, &times.having_waited())).await;
        }
        result.map(|reply| (reply, session))
    }
}

impl Reopen for Arc<Core> {
    fn is_closed(&self) -> bool {
        self.pool.closing().is_closed()
    }

    async fn open(
        self,
        request: Request,
        times: Times,
        _: Option<Session>,
    ) -> Result<(Reply, Session), Status> {
        self.attempt(request, times).await
    }

    async fn better_elsewhere(self, _: Session, _: Option<u64>) {
        std::future::pending().await
    }

    fn runtime(&self) -> &Runtime {
        &self.dialer.runtime
    }
}

/// A call at work on a [`Channel`].
#[must_use = "a call is not made until it is awaited"]
pub struct ChannelCall {
    /// Channel and request stay where they are while the call is on a lane: moving them costs more than the lane does.
    made: Option<(Channel, Request)>,
    state: ChannelCallState,
}

enum ChannelCallState {
    New,
    /// On a lane, as most calls are: nothing but its place there has to be looked at.
    Small {
        times: Times,
        call: LaneCall,
    },
    Other(Within<ReplyFuture>),
    Done,
}

impl ChannelCall {
    /// Makes the call.
    fn start(&mut self, cx: &Context<'_>) -> Result<ChannelCallState, Status> {
        let (channel, request) = self.made.as_mut().expect("it is new");
        inherit_trace(request);
        let core = &channel.inner.core;
        if channel.inner.chain.is_none()
            && let Some(session) = core.pool.ready()
        {
            let times = Times::of(request, &core.dialer.limits);
            match session.start_small(request, &times, cx.waker()) {
                Ok(Some(call)) => return Ok(ChannelCallState::Small { times, call }),
                Ok(None) => {}
                Err((status, session)) if Core::was_left(request, &session, &status) => {}
                Err((status, _)) => return Err(status),
            }
        }
        let (channel, request) = self.made.take().expect("it is new");
        let runtime = channel.inner.core.dialer.runtime.clone();
        let call: ReplyFuture = Box::pin(async move {
            let mut reply = match &channel.inner.chain {
                None => channel.inner.core.clone().call(request).await?,
                Some(chain) => chain.run(request).await?,
            };
            // The connection stands until the stream ends.
            if let Answer::Items(items) = &mut reply.answer {
                items.keep(channel);
            }
            Ok(reply)
        });
        Ok(ChannelCallState::Other(runtime.within(call)))
    }
}

impl Future for ChannelCall {
    type Output = Result<Reply, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.state {
                ChannelCallState::New => {
                    self.state = ChannelCallState::Done;
                    self.state = self.start(cx)?;
                    if matches!(self.state, ChannelCallState::Small { .. }) {
                        // It has been told whom to wake.
                        return Poll::Pending;
                    }
                }
                ChannelCallState::Small { call, .. } => {
                    let outcome = ready!(Pin::new(call).poll(cx));
                    let ChannelCallState::Small { times, call } =
                        std::mem::replace(&mut self.state, ChannelCallState::Done)
                    else {
                        unreachable!("it was just looked at")
                    };
                    let (channel, request) = self.made.as_ref().expect("it is at work");
                    let result = call.session().lane_answer(outcome, request);
                    match result {
                        Err(status) if Core::was_left(request, call.session(), &status) => {
                            let session = call.session().clone();
                            let (channel, request) = (channel.clone(), request.clone());
                            let runtime = channel.inner.core.dialer.runtime.clone();
                            let call: ReplyFuture = Box::pin(async move {
                                let core = &channel.inner.core;
                                let answer = core.once_more(request, times, session, Err(status)).await;
                                answer.map(|(reply, _)| reply)
                            });
                            self.state = ChannelCallState::Other(runtime.within(call));
                        }
                        result => return Poll::Ready(result),
                    }
                }
                ChannelCallState::Other(call) => {
                    let result = ready!(Pin::new(call).poll(cx));
                    self.state = ChannelCallState::Done;
                    return Poll::Ready(result);
                }
                ChannelCallState::Done => panic!("a call was polled after it was ready"),
            }
        }
    }
}

impl fmt::Debug for ChannelCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            ChannelCallState::New => "not made yet",
            ChannelCallState::Small { .. } | ChannelCallState::Other(_) => "at work",
            ChannelCallState::Done => "done",
        };
        f.debug_struct("ChannelCall").field("state", &state).finish_non_exhaustive()
    }
}

impl Caller for Channel {
    type Future = ChannelCall;

    fn call(&self, request: Request) -> ChannelCall {
        ChannelCall { made: Some((self.clone(), request)), state: ChannelCallState::New }
    }
}
