//! One call at each endpoint of a channel.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::task::JoinSet;

use super::{BalancedChannel, BalancedShared, endpoint::EndpointState};
use crate::{
    Caller, Reply, Request, Status,
    discover::ServiceSet,
    interceptor,
    message::{Answer, ReplyFuture},
    service::boxed,
    session::{Deadlines, inherit_trace},
};

/// Calls one endpoint of a [`BalancedChannel`]. Its calls are not retried, and their failures do not count
/// against the endpoint.
#[derive(Debug, Clone)]
pub struct EndpointCaller {
    shared: Arc<BalancedShared>,
    member: Arc<EndpointState>,
    used: Arc<EndpointUse>,
}

/// Records whether an endpoint's caller was used for services that the endpoint serves, for others, or both.
#[derive(Debug, Default)]
struct EndpointUse(AtomicU8);

impl EndpointUse {
    const UNSERVED: u8 = 1;
    const SERVED: u8 = 2;

    fn note(&self, served: bool) {
        self.0.fetch_or(if served { Self::SERVED } else { Self::UNSERVED }, Ordering::Relaxed);
    }

    /// Returns true if all calls were of services that the endpoint does not serve.
    fn in_vain(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::UNSERVED
    }
}

impl EndpointCaller {
    /// The endpoint's identity.
    pub fn id(&self) -> &Arc<str> {
        self.member.id()
    }

    /// The address on which the endpoint listens.
    pub fn addr(&self) -> SocketAddr {
        self.member.addr()
    }

    /// The endpoint's tags.
    pub fn tags(&self) -> Arc<BTreeMap<String, String>> {
        self.member.tags()
    }

    /// The services that the endpoint serves. `None` if they are not known: it may then serve any.
    pub fn services(&self) -> Option<ServiceSet> {
        self.member.services()
    }

    async fn once(self, request: Request) -> Result<Reply, Status> {
        let served = self.member.has_service(request.user_service());
        self.used.note(served);
        if !served {
            let (addr, service) = (self.addr(), request.method().service());
            return Err(Status::unimplemented(format!("{addr} does not serve {service}")).not_executed());
        }
        let times = Deadlines::of(&request, &self.shared.dialer.limits);
        let session = tokio::time::timeout_at(times.open_by(), self.member.pool.session()).await;
        let late = |_| Err(Status::deadline_exceeded("no connection came in time").not_executed());
        let session = session.unwrap_or_else(late)?;
        let mut reply = session.call(&request, &times.having_waited()).await?;
        // Keeps the connection until the stream ends.
        if let Answer::Items(items) = &mut reply.answer {
            items.keep(self);
        }
        Ok(reply)
    }
}

impl Caller for EndpointCaller {
    type Future = ReplyFuture;

    fn call(&self, mut request: Request) -> ReplyFuture {
        let this = self.clone();
        let runtime = self.shared.dialer.runtime.clone();
        Box::pin(runtime.within(Box::pin(async move {
            inherit_trace(&mut request);
            match this.shared.dialer.interceptors.around(this.clone()) {
                None => this.once(request).await,
                Some(chain) => chain.run(request).await,
            }
        })))
    }
}

impl interceptor::RequestHandler for EndpointCaller {
    fn call(&self, request: Request) -> ReplyFuture {
        Box::pin(self.clone().once(request))
    }
}

/// The result of one endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub struct EndpointReply<T> {
    /// The endpoint's identity.
    pub id: Arc<str>,
    /// The address on which it listens.
    pub addr: SocketAddr,
    /// The result of the call there.
    pub output: T,
}

/// The results of one call at each of several endpoints, in the order in which they come. Dropping this
/// cancels the calls that are still in flight.
#[derive(Debug)]
pub struct Replies<T> {
    /// Each call's result, and true if the endpoint does not serve the call's service.
    calls: JoinSet<(EndpointReply<T>, bool)>,
    asked: usize,
}

/// The error of a quorum that was not reached: too few endpoints returned a value.
#[derive(Debug)]
#[non_exhaustive]
pub struct QuorumError<T, E> {
    /// The number of values that were wanted.
    pub wanted: usize,
    /// The number of endpoints that were asked.
    pub asked: usize,
    /// The values that were returned.
    pub values: Vec<EndpointReply<T>>,
    /// The failures of the other endpoints.
    pub failures: Vec<EndpointReply<E>>,
}

impl<T, E: fmt::Display> fmt::Display for QuorumError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, asked, values, failures } = self;
        write!(f, "{wanted} endpoints should have answered, of {asked} asked {} did", values.len())?;
        match failures.first() {
            Some(failure) => write!(f, "; {} failed: {}", failure.id, failure.output),
            None => Ok(()),
        }
    }
}

impl<T: fmt::Debug, E: fmt::Debug + fmt::Display> Error for QuorumError<T, E> {}

impl BalancedChannel {
    /// Makes one call at each endpoint that `choose` selects, concurrently. `call` gets a caller for each
    /// endpoint, to put into a generated client:
    ///
    /// ```
    /// # use rpcnet::{BalancedChannel, BalancedConfig, discover::Endpoint, rpc_impl, rpc_trait};
    /// # #[rpc_trait]
    /// # pub trait Cache { async fn clear(&self) -> rpcnet::Result<u64>; }
    /// # struct Empty;
    /// # #[rpc_impl]
    /// # impl Cache for Empty { async fn clear(&self) -> rpcnet::Result<u64> { Ok(0) } }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let network = rpcnet::testing::Network::new();
    /// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
    /// # let server = rpcnet::Server::new(config)?;
    /// # let address = server.local_addr();
    /// # server.register(CacheServer::new(Empty))?;
    /// # let running = server.clone();
    /// # tokio::spawn(async move { running.run().await });
    /// # let builder = rpcnet::Channel::builder().with_network(&network);
    /// # let (_set, set) = tokio::sync::watch::channel([Endpoint::new("cache-1", address)].into());
    /// # let channel = BalancedChannel::new(builder, set, BalancedConfig::default())?;
    /// let mut replies = channel.call_all(|_| true, |endpoint| CacheClient::new(endpoint).clear());
    /// while let Some(from) = replies.next().await {
    ///     println!("{}: {:?}", from.addr, from.output);
    /// # assert_eq!(from.output?, 0);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Endpoints that are known not to serve the call's service are skipped: nothing is sent to them, and
    /// they are not among the replies. Endpoints that drain or are not ready are called too. The call waits
    /// within its deadline for an endpoint without a connection. The calls run in tasks on the channel's
    /// runtime.
    pub fn call_all<R>(
        &self,
        choose: impl Fn(&EndpointCaller) -> bool,
        call: impl Fn(EndpointCaller) -> R,
    ) -> Replies<R::Output>
    where
        R: Future + Send + 'static,
        R::Output: Send + 'static,
    {
        let shared = &self.inner.shared;
        let members = shared.members.load();
        let mut calls = JoinSet::new();
        for member in &members.all {
            let used = Arc::<EndpointUse>::default();
            let caller =
                EndpointCaller { shared: shared.clone(), member: member.clone(), used: used.clone() };
            if !choose(&caller) {
                continue;
            }
            let (id, addr) = (member.id().clone(), member.addr());
            // Boxed before it is moved into a task.
            let call = boxed(|| call(caller));
            // Keeps the channel, which updates its members, while calls wait for connections.
            let channel = self.clone();
            let answer = async move {
                let output = call.await;
                drop(channel);
                (EndpointReply { id, addr, output }, used.in_vain())
            };
            calls.spawn_on(answer, shared.dialer.runtime.handle());
        }
        Replies { asked: calls.len(), calls }
    }
}

impl<T: 'static> Replies<T> {
    /// The number of endpoints that are called. An endpoint that does not serve the service counts until
    /// [`next`](Self::next) has skipped it.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// Returns the next result, or `None` when all endpoints have answered. Cancel-safe.
    pub async fn next(&mut self) -> Option<EndpointReply<T>> {
        loop {
            match self.calls.join_next().await? {
                Ok((_, true)) => self.asked -= 1,
                Ok((from, false)) => return Some(from),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Only a runtime that shuts down aborts these tasks.
                    Err(_) => return None,
                },
            }
        }
    }

    /// Returns all results, in the order in which they came.
    pub async fn all(mut self) -> Vec<EndpointReply<T>> {
        let mut all = Vec::with_capacity(self.asked);
        while let Some(from) = self.next().await {
            all.push(from);
        }
        all
    }
}

impl<T: 'static, E: 'static> Replies<Result<T, E>> {
    /// Waits until `wanted` endpoints have returned a value, then cancels the calls to the others.
    ///
    /// # Errors
    ///
    /// [`QuorumError`] as soon as too few calls are left to reach `wanted`.
    pub async fn quorum(mut self, wanted: usize) -> Result<Vec<EndpointReply<T>>, QuorumError<T, E>> {
        let (mut values, mut failures) = (Vec::new(), Vec::new());
        while values.len() < wanted && self.asked - failures.len() >= wanted {
            match self.next().await {
                Some(EndpointReply { id, addr, output: Ok(output) }) => {
                    values.push(EndpointReply { id, addr, output });
                }
                Some(EndpointReply { id, addr, output: Err(output) }) => {
                    failures.push(EndpointReply { id, addr, output });
                }
                None => break,
            }
        }
        if values.len() >= wanted {
            return Ok(values);
        }
        Err(QuorumError { wanted, asked: self.asked, values, failures })
    }
}
