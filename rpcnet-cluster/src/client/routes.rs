//! The list of workers, as one of several directors sends it. A lost director is replaced by another one.
//!
//! A director's name stands for a set of addresses, each of which may be another director. One name for all directors is
//! usual. The client asks all addresses of all names, staggered, and follows the first director that answers: happy eyeballs
//! (RFC 8305), with directors in place of the addresses of one server.

use std::{
    collections::{HashSet, VecDeque},
    error::Error,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use rpcnet::{
    Backoff, Code, ConnectError, Connector, Status, Streaming,
    discover::{Endpoint, EndpointSet},
    resolve::HostPort,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info};

use crate::{
    TagFilter,
    director::directory::{DirectoryClient, HEARTBEAT, RouteTable, Update},
    error::chain,
};

/// The time without an update after which a director counts as lost.
const SILENT: Duration = HEARTBEAT.saturating_mul(3);
/// The time after which the next director is asked too.
const STAGGER: Duration = Duration::from_millis(250);
/// The shortest and the longest pause between rounds through all directors.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// The time after its first worker for which a director may still be learning of the others.
const LEARNING: Duration = Duration::from_secs(5);

/// The last news from the directors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    pub(crate) table: Option<RouteTable>,
    /// The time of the last update from any director.
    pub(crate) heard: Option<Instant>,
    /// The failures of the last round in which no director answered.
    pub(crate) failures: Option<Arc<AskFailures>>,
}

impl Routes {
    /// Describes the listed workers, and the reasons for which none is an endpoint.
    pub(crate) fn describe(&self, directors: &str, filter: &TagFilter) -> String {
        let Some(table) = &self.table else {
            return format!("the directors {directors} have not named any workers yet");
        };
        let matching = table.matching(filter);
        let workers = match table.len() {
            1 => "1 worker".to_owned(),
            many => format!("{many} workers"),
        };
        let listed = match (table.len(), matching) {
            (0, _) => {
                "list no worker: start one that joins their cluster, with the tag role=worker".to_owned()
            }
            (_, 0) => format!("list {workers}, of which none matches the filter \"{filter}\""),
            (all, _) if matching == all => format!("list {workers}"),
            _ => format!("list {workers}, of which {matching} match the filter \"{filter}\""),
        };
        let heard = match self.heard.map(|heard| heard.elapsed()) {
            Some(age) if age >= SILENT => format!(" (heard {} s ago)", age.as_secs()),
            _ => String::new(),
        };
        let failures =
            self.failures.as_ref().map(|failures| format!("; last asked: {failures}")).unwrap_or_default();
        format!("the directors {directors} {listed}{heard}{failures}")
    }
}

/// The failures of a round in which no director answered.
#[derive(Debug, Default)]
pub(crate) struct AskFailures(Vec<(Asked, AskError)>);

impl AskFailures {
    /// Returns whether all directors have answered with a refusal: asking again is useless until certificates or addresses
    /// change.
    pub(crate) fn are_final(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(_, error)| error.is_final())
    }
}

impl Error for AskFailures {}

impl fmt::Display for AskFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The most directors in the text: enough to see what they have in common.
        const SHOWN: usize = 4;

        if self.0.is_empty() {
            return f.write_str(
                "none has answered yet, check that directors listen there, and that UDP reaches them",
            );
        }
        for (index, (asked, error)) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{asked}: {error}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A director's name, and the address that was asked, if the name has any.
#[derive(Debug, Clone)]
struct Asked {
    name: HostPort,
    addr: Option<SocketAddr>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            Some(addr) if self.name.ip().is_none() => write!(f, "{} ({addr})", self.name),
            _ => self.name.fmt(f),
        }
    }
}

/// The error of a director that is not followed, or is lost.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{}", chain(.0))]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Call(Status),
    #[error("it ended the list of workers")]
    Ended,
    #[error("nothing came within {SILENT:?}")]
    Silent,
}

impl AskError {
    fn is_final(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_certificate(),
            Self::Call(status) => {
                matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied)
            }
            Self::Ended | Self::Silent => false,
        }
    }
}

/// The task that follows the list of workers at one director after the other.
pub(crate) struct RouteFollower {
    directors: Vec<HostPort>,
    connector: Connector,
    routes: watch::Sender<Routes>,
    endpoints: watch::Sender<EndpointSet>,
    filter: TagFilter,
}

/// A director that has answered, with its first update.
struct AnsweringDirector {
    asked: Asked,
    /// Keeps the connection open.
    _directory: DirectoryClient,
    updates: Streaming<Update>,
    first: Update,
}

impl RouteFollower {
    pub(crate) fn new(
        directors: Vec<HostPort>,
        connector: Connector,
        routes: watch::Sender<Routes>,
        endpoints: watch::Sender<EndpointSet>,
        filter: TagFilter,
    ) -> Self {
        Self { directors, connector, routes, endpoints, filter }
    }

    /// Follows directors for ever.
    pub(crate) async fn run(self) {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        // The address of the director that was lost last. It is asked last.
        let mut lost = None;
        loop {
            match self.find(lost, &mut rng).await {
                Ok(found) => {
                    backoff.reset();
                    let asked = found.asked.clone();
                    debug!(director = %asked, "following");
                    let reason = self.follow(found).await;
                    info!(director = %asked, %reason, "director lost");
                    lost = asked.addr;
                }
                Err(failures) => {
                    debug!(%failures, "no director answers");
                    self.routes.send_modify(|routes| routes.failures = Some(Arc::new(failures)));
                    tokio::time::sleep(backoff.next(&mut rng)).await;
                }
            }
        }
    }

    /// Finds a director that answers.
    ///
    /// Resolves all names at once and asks each address. The next address is asked as soon as one has failed or has taken
    /// [`STAGGER`], and the first answer counts. So a dead address costs at most [`STAGGER`], and a name whose resolver is
    /// silent costs nothing if another one answers. The order is random, so that clients spread over the directors. The lost
    /// director comes last.
    async fn find(
        &self,
        lost: Option<SocketAddr>,
        rng: &mut StdRng,
    ) -> Result<AnsweringDirector, AskFailures> {
        let mut names = self.directors.clone();
        names.shuffle(rng);
        let mut resolving = JoinSet::new();
        for name in names {
            let connector = self.connector.clone();
            resolving.spawn(async move {
                let addrs = connector.resolve(&name.to_string()).await;
                (name, addrs)
            });
        }
        let mut seen = HashSet::new();
        let mut waiting: VecDeque<(HostPort, SocketAddr)> = VecDeque::new();
        // Dropping the set gives up the slower ones.
        let mut asking = JoinSet::new();
        let mut next = Instant::now();
        let mut failures = AskFailures::default();
        loop {
            tokio::select! {
                // An answer goes before asking another director.
                biased;
                Some(ended) = asking.join_next() => match ended {
                    Ok((_, Ok(found))) => return Ok(found),
                    Ok((asked, Err(error))) => {
                        failures.0.push((asked, error));
                        next = Instant::now();
                    }
                    // The task panicked, which has been reported.
                    Err(_) => {}
                },
                Some(Ok((name, resolved))) = resolving.join_next() => match resolved {
                    Ok(mut addrs) => {
                        addrs.shuffle(rng);
                        for addr in addrs.into_iter().filter(|addr| seen.insert(*addr)) {
                            waiting.push_back((name.clone(), addr));
                        }
                        waiting.make_contiguous().sort_by_key(|(_, addr)| Some(*addr) == lost);
                    }
                    Err(error) => failures.0.push((Asked { name, addr: None }, error.into())),
                },
                () = sleep_until(next), if !waiting.is_empty() => {
                    if let Some((name, addr)) = waiting.pop_front() {
                        asking.spawn(ask(self.connector.clone(), name, addr));
                    }
                    next = Instant::now() + STAGGER;
                }
                else => return Err(failures),
            }
        }
    }

    /// Follows one director until it is lost. Returns the reason.
    async fn follow(&self, mut found: AnsweringDirector) -> AskError {
        let mut known = KnownWorkers::new(&self.endpoints.borrow());
        let mut update = found.first;
        loop {
            self.heard(update, &mut known);
            update = match timeout(SILENT, found.updates.next()).await {
                Ok(Some(Ok(update))) => update,
                Ok(None) => return AskError::Ended,
                Ok(Some(Err(status))) => return AskError::Call(status),
                Err(_) => return AskError::Silent,
            };
        }
    }

    fn heard(&self, update: Update, known: &mut KnownWorkers) {
        let table = match update {
            Update::Table(table) => Some(table),
            Update::Alive => None,
        };
        let endpoints = known.update(table.as_ref(), &self.filter, Instant::now());
        self.endpoints.send_if_modified(|current| {
            let changed = *current != endpoints;
            *current = endpoints;
            changed
        });
        self.routes.send_modify(|routes| {
            routes.heard = Some(Instant::now());
            routes.failures = None;
            if table.is_some() {
                routes.table = table;
            }
        });
    }
}

/// The workers known while one director is followed: those that it lists, and at first those that were known before.
///
/// A director that has just started knows no worker at first, and then not all at once. It must not remove workers that it
/// has not heard of yet. Calls find out whether those still answer.
#[derive(Debug)]
struct KnownWorkers {
    before: Vec<Endpoint>,
    told: Vec<Endpoint>,
    /// The time of the first worker in the list.
    since: Option<Instant>,
}

impl KnownWorkers {
    fn new(before: &EndpointSet) -> Self {
        Self { before: before.to_vec(), told: Vec::new(), since: None }
    }

    /// Takes in a table, or the passing of time. Returns the workers.
    fn update(&mut self, table: Option<&RouteTable>, filter: &TagFilter, now: Instant) -> EndpointSet {
        if let Some(table) = table {
            let told = table.endpoints();
            if !told.is_empty() {
                self.since.get_or_insert(now);
            }
            self.before.retain(|old| !told.iter().any(|new| new.addr() == old.addr()));
            self.told = told.iter().filter(|endpoint| filter.matches(endpoint.tags())).cloned().collect();
        }
        if self.since.is_some_and(|since| now.saturating_duration_since(since) >= LEARNING) {
            self.before.clear();
        }
        self.told.iter().chain(&self.before).cloned().collect()
    }
}

async fn ask(
    connector: Connector,
    name: HostPort,
    addr: SocketAddr,
) -> (Asked, Result<AnsweringDirector, AskError>) {
    let asked = Asked { name, addr: Some(addr) };
    let answer = async {
        let channel = connector.connect_addr(addr, asked.name.host()).await?;
        let directory = DirectoryClient::new(channel);
        let mut updates = directory.watch().await.map_err(|error| AskError::Call(error.into()))?;
        match updates.next().await {
            Some(Ok(first)) => {
                Ok(AnsweringDirector { asked: asked.clone(), _directory: directory, updates, first })
            }
            None => Err(AskError::Ended),
            Some(Err(error)) => Err(AskError::Call(error)),
        }
    };
    let answered = timeout(SILENT, answer).await.unwrap_or(Err(AskError::Silent));
    (asked, answered)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::swim::{Identity, NodeId};

    fn table(workers: &[(u16, u128)]) -> RouteTable {
        let identity = |(port, id): &(u16, u128)| {
            Identity::new(([127, 0, 0, 1], *port).into(), NodeId::from_u128(*id), 1)
        };
        RouteTable::of(workers.iter().map(|worker| (identity(worker), BTreeMap::new())))
    }

    fn ports(set: &EndpointSet) -> Vec<u16> {
        set.iter().map(|endpoint| endpoint.addr().port()).collect()
    }

    #[test]
    fn a_director_that_learns_takes_no_worker_away() {
        let start = Instant::now();
        let any = TagFilter::default();
        let mut known = KnownWorkers::new(&table(&[(1, 1), (2, 2), (3, 3)]).endpoints());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(ports(&known.update(Some(&table(&[])), &any, start)), [1, 2, 3]);
        // It may be alone for long.
        assert_eq!(ports(&known.update(None, &any, after(60))), [1, 2, 3]);
        // The second was restarted; the first is not known yet, and the third never will be.
        let told = known.update(Some(&table(&[(2, 20)])), &any, after(61));
        assert_eq!(ports(&told), [2, 1, 3]);
        assert!(told[0].id().contains("-000000000014@"), "{}", told[0].id());
        assert_eq!(ports(&known.update(Some(&table(&[(1, 1), (2, 20)])), &any, after(62))), [1, 2, 3]);
        assert_eq!(ports(&known.update(None, &any, after(67))), [1, 2]);
        assert_eq!(ports(&known.update(Some(&table(&[])), &any, after(68))), [] as [u16; 0]);
    }

    #[test]
    fn what_a_director_takes_back_is_gone_at_once() {
        let now = Instant::now();
        let any = TagFilter::default();
        let mut known = KnownWorkers::new(&EndpointSet::from([]));
        assert_eq!(ports(&known.update(Some(&table(&[(1, 1), (2, 2)])), &any, now)), [1, 2]);
        assert_eq!(ports(&known.update(Some(&table(&[(2, 2)])), &any, now)), [2]);
        assert_eq!(ports(&known.update(Some(&table(&[])), &any, now)), [] as [u16; 0]);
    }
}
