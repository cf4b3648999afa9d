//! One attempt to connect: all addresses of a name, staggered, within one timeout.

use std::{fmt, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::{Closing, ConnectError, LocalPort, local_port::DialOutcome};
use crate::{
    Backoff, Limits, discover,
    interceptor::Chain,
    proto,
    resolve::{self, HostPort, Resolver},
    runtime::Runtime,
    session::{Epoch, Router, Session},
    tls::Tls,
    transport::{Connection, ConnectionError, DialOptions, Endpoint},
};

/// Everything that dialling needs: socket, certificates, limits, and the services that peers may call back.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    /// The runtime on which the endpoint was opened. Connections and their tasks belong to it.
    pub(crate) runtime: Runtime,
    /// The protocol (ALPN) of calls: to servers that serve them, or to relays that forward them.
    pub(crate) protocol: &'static [u8],
    pub(crate) tls: Arc<Tls>,
    pub(crate) resolver: Resolver,
    pub(crate) router: Arc<Router>,
    pub(crate) interceptors: Chain,
    pub(crate) limits: Limits,
    pub(crate) options: DialOptions,
    pub(crate) connect_timeout: Duration,
    /// Set if the socket only dials, so that it may move to another local port.
    pub(crate) local_port: Option<Arc<LocalPort>>,
    pub(crate) backoff: Backoff,
    /// The most connections to one server.
    pub(crate) max_connections: usize,
}

/// The address to dial. A name is resolved anew for each attempt.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    at: HostPort,
    /// The host that the certificate must name, if it is not the host that is dialled.
    host: Option<String>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)
    }
}

impl Target {
    pub(crate) fn parse(address: &str) -> Result<Self, ConnectError> {
        Ok(Self { at: address.parse()?, host: None })
    }

    /// A target at an address. Its certificate must name `host`.
    pub(crate) fn at(addr: SocketAddr, host: impl Into<String>) -> Self {
        Self { at: addr.into(), host: Some(host.into()) }
    }

    /// The target of an endpoint of a set.
    pub(crate) fn of(endpoint: &discover::Endpoint) -> Self {
        Self { at: endpoint.addr().into(), host: endpoint.host().map(str::to_owned) }
    }

    /// The host that a certificate without a node name must name.
    pub(crate) fn host(&self) -> &str {
        self.host.as_deref().unwrap_or(self.at.host())
    }
}

pub(super) type Driving = Pin<Box<dyn Future<Output = ConnectionError> + Send>>;

impl Dialer {
    /// Returns true if the peers of this dialer are relays.
    pub(crate) fn relays(&self) -> bool {
        self.protocol == proto::RELAY_ALPN
    }

    /// Dials a raw connection of any protocol. The first address of the name that answers wins. Cancel-safe.
    pub(crate) async fn dial(
        &self,
        target: &Target,
        protocol: &[u8],
        options: &DialOptions,
    ) -> Result<Connection, ConnectError> {
        options.check()?;
        let room = self.limits.room();
        self.first_of(target, |address| async move {
            let dialled = self.endpoint.dial(address, target.host(), protocol, options, room).await;
            dialled.map_err(|source| ConnectError::of(address, source))
        })
        .await
    }

    /// Dials a session and waits until the peer has accepted it. The first address of the name whose server
    /// accepts wins. The session belongs to the given epoch of the endpoint. Cancel-safe.
    pub(super) async fn connect(
        &self,
        target: &Target,
        epoch: Epoch,
        closing: &Closing,
    ) -> Result<(Session, Driving), ConnectError> {
        let Some(local_port) = &self.local_port else {
            return self.connect_from_here(target, epoch, closing).await;
        };
        let dial = local_port.dial();
        let connected = self.connect_from_here(target, epoch, closing).await;
        let outcome = match &connected {
            Ok(_) => DialOutcome::Answered,
            Err(ConnectError::Resolve { .. } | ConnectError::Closed) => DialOutcome::Unknown,
            Err(error) if error.is_unanswered() => DialOutcome::Unanswered,
            Err(_) => DialOutcome::Answered,
        };
        if dial.end(outcome) {
            match self.endpoint.rebind() {
                Ok(()) => debug!(%target, "no answer: dialling from another local port"),
                Err(error) => warn!(%target, %error, "cannot move to another local port"),
            }
        }
        let (session, driving) = connected?;
        let standing = local_port.hold_session();
        let driving = async move {
            let _standing = standing;
            driving.await
        };
        Ok((session, Box::pin(driving)))
    }

    async fn connect_from_here(
        &self,
        target: &Target,
        epoch: Epoch,
        closing: &Closing,
    ) -> Result<(Session, Driving), ConnectError> {
        let room = self.limits.room();
        self.first_of(target, |address| {
            let epoch = epoch.clone();
            async move {
                let failed = |source| ConnectError::of(address, source);
                let dialled =
                    self.endpoint.dial(address, target.host(), self.protocol, &self.options, room).await;
                let connection = dialled.map_err(failed)?;
                let (router, runtime) = (self.router.clone(), self.runtime.clone());
                let (session, driver) = Session::dialled(connection, router, self.limits, runtime, epoch);
                let opened = closing.opened(&session).ok_or(ConnectError::Closed)?;
                let mut driving: Driving = Box::pin(async move {
                    let _opened = opened;
                    driver.drive().await
                });
                let settled = tokio::select! {
                    ready = session.ready() => ready,
                    error = &mut driving => Err(error),
                };
                settled.map_err(failed)?;
                Ok((session, driving))
            }
        })
        .await
    }

    /// Resolves a name within the connect timeout. Cancel-safe.
    pub(crate) async fn resolve(&self, name: &HostPort) -> Result<Vec<SocketAddr>, ConnectError> {
        self.addresses(name, after(self.connect_timeout)).await
    }

    async fn addresses(&self, name: &HostPort, deadline: Instant) -> Result<Vec<SocketAddr>, ConnectError> {
        let found = self.resolver.addresses(name, deadline, self.connect_timeout).await;
        found.map_err(|source| ConnectError::Resolve { name: name.to_string(), source })
    }

    /// Attempts all addresses of the target, staggered; the first success wins. The connect timeout bounds
    /// the whole, including the time to resolve the name.
    async fn first_of<T, F>(
        &self,
        target: &Target,
        attempt: impl Fn(SocketAddr) -> F,
    ) -> Result<T, ConnectError>
    where
        F: Future<Output = Result<T, ConnectError>>,
    {
        let (deadline, limit) = (after(self.connect_timeout), self.connect_timeout);
        let addrs = self.addresses(&target.at, deadline).await?;
        let count = addrs.len();
        let raced = resolve::race(addrs, |address| {
            let attempt = attempt(address);
            (Instant::now() < deadline).then_some(async move {
                let ended = timeout_at(deadline, attempt).await;
                ended.unwrap_or(Err(ConnectError::TimedOut { address, after: limit }))
            })
        });
        raced.await.map_err(|mut failures| match failures.pop() {
            Some(only) if count == 1 => only,
            last => {
                failures.extend(last);
                ConnectError::Unreachable { name: target.to_string(), addresses: count, failures }
            }
        })
    }
}

/// Returns the instant `timeout` from now. An instant that the clock cannot represent becomes one 30 years
/// away.
fn after(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(30 * 365 * 86_400))
}
