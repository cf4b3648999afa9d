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
    connect::{ConnectionPool, Dialer, wait_close_sent},
    interceptor::{self, Next},
    message::{Answer, ReplyFuture},
    runtime::{Runtime, Within},
    session::{Deadlines, LaneCall, Session, inherit_trace},
    tls::{CaCertificates, OwnCertificate},
};

/// The longest time for which an interrupted stream waits for a connection on which it can resume.
const PATIENCE: Duration = Duration::from_secs(5);

/// A channel to one server. It reconnects whenever its connection is lost. Cheap to clone.
///
/// A call waits for an attempt to connect that is in progress. During the pause between attempts it fails at
/// once with `Unavailable` and the reason why the last attempt failed.
///
/// The connection closes when the last clone and the last call are dropped. The runtime then tells the server
/// as soon as it gets to run, and at the latest when it is shut down. [`close`](Self::close) waits until the
/// server has been told. A process that ends without shutting its runtime down ([`std::process::exit`], a
/// signal) tells the server nothing. Its connections stay open there until the idle timeout, 30 s.
///
/// Connections and their tasks belong to the tokio runtime on which the socket was opened
/// ([`Connector`](crate::Connector)). Calls may be awaited on any runtime and on executors that are not
/// tokio's.
///
/// An interrupted stream of a `resumable` method resumes if the server, or its successor at this address, is
/// reachable within 5 s.
///
/// While more calls pile up than one connection can carry, the channel opens extra connections, and closes
/// them when they are no longer used ([`ChannelBuilder::with_max_connections`]).
///
/// ```
/// use rpcnet::{Channel, HealthClient, dev::DevCa};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca = DevCa::generate()?;
/// # let own = ca.issue("server")?;
/// # let config = rpcnet::ServerConfig::builder().with_cert_and_key(own.cert, own.key)?;
/// # let server = rpcnet::Server::new(config.with_ca_cert(ca.ca_pem())?.build()?)?;
/// # let address = server.local_addr().to_string();
/// # tokio::spawn(async move { server.run().await });
/// let own = ca.issue("client")?;
/// let channel = Channel::builder()
///     .with_cert_and_key(own.cert, own.key)?
///     .with_ca_cert(ca.ca_pem())?
///     .connect(address)
///     .await?;
/// let state = HealthClient::new(channel.clone()).health().await?;
/// println!("up for {} ms", state.uptime_ms);
/// channel.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Channel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    core: Arc<Core>,
    /// The interceptors, if there are any. The core is the end of their chain.
    chain: Option<Next>,
}

/// A channel without its interceptors.
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

    /// Returns a builder with the default settings.
    pub fn builder() -> ChannelBuilder {
        ChannelBuilder::default()
    }

    /// Presents another certificate in new handshakes. Open connections are not affected. Completes at once.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] in these cases; the previous certificate then stays in force:
    ///
    /// - the certificate or the key is not usable,
    /// - the certificate has expired or is not valid yet,
    /// - its CA is not trusted here, unless the CA of the previous certificate is not trusted either.
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

    /// Trusts these CAs, and no others, in new handshakes. Open connections are not affected. Completes at
    /// once.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the text holds no usable certificate; the previous CAs then stay in force.
    pub async fn reload_ca_cert(&self, pem: impl AsRef<[u8]>) -> Result<(), ConfigError> {
        self.inner.core.dialer.tls.replace_trust(&CaCertificates::from_pem(pem.as_ref())?, UnixTime::now())
    }

    /// Closes the channel for all its clones: closes its connections and tells the server.
    ///
    /// Returns when the transport has sent the close: usually within milliseconds, at most within a second.
    /// Calls in flight end as [`Unavailable`](crate::Code::Unavailable), on all clones, and their handlers
    /// are dropped, so close the channel after the calls that matter have ended. Later calls fail at once as
    /// `Unavailable`, not executed. Closing twice does no harm.
    ///
    /// Cancel-safe: the channel is closed at the first poll, and dropping the future only ends the wait.
    pub async fn close(&self) {
        let core = &self.inner.core;
        let sessions = core.pool.closing().close();
        core.dialer.runtime.run(wait_close_sent(sessions)).await;
    }

    /// Returns true if calls can be sent on an open connection now.
    pub fn is_connected(&self) -> bool {
        self.inner.core.pool.is_ready()
    }
}

/// The end of a channel's chain of interceptors: it makes the call.
#[derive(Debug)]
struct ChannelEnd(Arc<Core>);

impl interceptor::RequestHandler for ChannelEnd {
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
        let times = Deadlines::of(&request, &self.dialer.limits);
        if request.method.resumable() {
            return resume::call(self, request, times, PATIENCE).await;
        }
        self.attempt(request, times).await.map(|(reply, _)| reply)
    }

    /// Makes a call. Returns the reply and the session that it came from.
    async fn attempt(&self, request: Request, times: Deadlines) -> Result<(Reply, Session), Status> {
        let session = match self.pool.ready() {
            Some(session) => session,
            None => Box::pin(self.session(times.open_by())).await?,
        };
        let result = session.call(&request, &times).await;
        self.retry_while_draining(request, times, session, result).await
    }

    /// Returns true if the server began to drain just as the call was sent, and never started it. The next
    /// connection may lead to the server's successor.
    fn was_drained(request: &Request, session: &Session, status: &Status) -> bool {
        !status.maybe_executed() && request.is_repeatable() && session.peer_state().borrow().draining
    }

    /// Returns the call's result. A call that a draining server refused is made again on the next connection,
    /// at most `max_connections + 1` times: the server may send GOAWAY on each connection separately.
    async fn retry_while_draining(
        &self,
        request: Request,
        times: Deadlines,
        mut session: Session,
        mut result: Result<Reply, Status>,
    ) -> Result<(Reply, Session), Status> {
        for _ in 0..=self.dialer.max_connections {
            let status = match result {
                Ok(reply) => return Ok((reply, session)),
                Err(status) => status,
            };
            if !Self::was_drained(&request, &session, &status) {
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
        times: Deadlines,
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

/// A call in flight on a [`Channel`].
#[must_use = "a call is not made until it is awaited"]
pub struct ChannelCall {
    /// Kept in place while the call is on a lane: moving these two costs more than the lane itself.
    made: Option<(Channel, Request)>,
    state: ChannelCallState,
}

enum ChannelCallState {
    New,
    /// On a lane, as most calls are. Polling it looks only at its slot there.
    OnLane {
        times: Deadlines,
        call: LaneCall,
    },
    Boxed(Within<ReplyFuture>),
    Done,
}

impl ChannelCall {
    /// Starts the call.
    fn start(&mut self, cx: &Context<'_>) -> Result<ChannelCallState, Status> {
        let (channel, request) = self.made.as_mut().expect("a new call has its request");
        inherit_trace(request);
        let core = &channel.inner.core;
        if channel.inner.chain.is_none()
            && let Some(session) = core.pool.ready()
        {
            let times = Deadlines::of(request, &core.dialer.limits);
            match session.start_small(request, &times, cx.waker()) {
                Ok(Some(call)) => return Ok(ChannelCallState::OnLane { times, call }),
                Ok(None) => {}
                Err((status, session)) if Core::was_drained(request, &session, &status) => {}
                Err((status, _)) => return Err(status),
            }
        }
        let (channel, request) = self.made.take().expect("a new call has its request");
        let runtime = channel.inner.core.dialer.runtime.clone();
        let call: ReplyFuture = Box::pin(async move {
            let mut reply = match &channel.inner.chain {
                None => channel.inner.core.clone().call(request).await?,
                Some(chain) => chain.run(request).await?,
            };
            // Keeps the connection until the stream ends.
            if let Answer::Items(items) = &mut reply.answer {
                items.keep(channel);
            }
            Ok(reply)
        });
        Ok(ChannelCallState::Boxed(runtime.within(call)))
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
                    if matches!(self.state, ChannelCallState::OnLane { .. }) {
                        // The lane has stored the waker.
                        return Poll::Pending;
                    }
                }
                ChannelCallState::OnLane { call, .. } => {
                    let outcome = ready!(Pin::new(call).poll(cx));
                    let ChannelCallState::OnLane { times, call } =
                        std::mem::replace(&mut self.state, ChannelCallState::Done)
                    else {
                        unreachable!("the state was just matched")
                    };
                    let (channel, request) = self.made.as_ref().expect("a call on a lane has its request");
                    let result = call.session().lane_answer(outcome, request);
                    match result {
                        Err(status) if Core::was_drained(request, call.session(), &status) => {
                            let session = call.session().clone();
                            let (channel, request) = (channel.clone(), request.clone());
                            let runtime = channel.inner.core.dialer.runtime.clone();
                            let call: ReplyFuture = Box::pin(async move {
                                let core = &channel.inner.core;
                                let answer =
                                    core.retry_while_draining(request, times, session, Err(status)).await;
                                answer.map(|(reply, _)| reply)
                            });
                            self.state = ChannelCallState::Boxed(runtime.within(call));
                        }
                        result => return Poll::Ready(result),
                    }
                }
                ChannelCallState::Boxed(call) => {
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
            ChannelCallState::OnLane { .. } | ChannelCallState::Boxed(_) => "at work",
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
