//! Follows the list of workers at one of several directors, and goes on with another where that one is lost.
//!
//! A director is found by asking all, staggered, and taking the first that answers: happy eyeballs (RFC 8305), with
//! directors in place of addresses.

use std::{error::Error, time::Duration};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use rpcnet::{
    Backoff, Connector, Streaming,
    discover::{Endpoint, EndpointSet},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::{debug, info};

use crate::{
    TagFilter, director,
    routes::{DirectoryClient, RouteTable, Update},
};

/// A director from which nothing came for so long is given up.
const SILENT: Duration = director::HEARTBEAT.saturating_mul(3);
/// How long one director is waited for before the next is asked too.
const STAGGER: Duration = Duration::from_millis(250);
/// Pauses between rounds through all directors.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long after its first worker a director may still be learning of the others.
const LEARNING: Duration = Duration::from_secs(5);

/// What the directors said last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    pub(crate) table: Option<RouteTable>,
    /// When a director was last heard from.
    pub(crate) heard: Option<Instant>,
    /// Why none answers.
    pub(crate) failure: Option<String>,
}

/// Follows the list of workers at one director after the other.
pub(crate) struct Following {
    directors: Vec<String>,
    connector: Connector,
    routes: watch::Sender<Routes>,
    endpoints: watch::Sender<EndpointSet>,
    filter: TagFilter,
}

/// A director that has answered.
struct Found {
    address: String,
    /// Held, as its connection ends with it.
    _directory: DirectoryClient,
    updates: Streaming<Update>,
    first: Update,
}

impl Following {
    pub(crate) fn new(
        directors: Vec<String>,
        connector: Connector,
        routes: watch::Sender<Routes>,
        endpoints: watch::Sender<EndpointSet>,
        filter: TagFilter,
    ) -> Self {
        Self { directors, connector, routes, endpoints, filter }
    }

    /// Follows for ever.
    pub(crate) async fn run(mut self) {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        // So that clients spread over the directors.
        self.directors.shuffle(&mut rng);
        loop {
            if let Some(found) = self.find().await {
                backoff.reset();
                let address = found.address.clone();
                debug!(director = %address, "following");
                let reason = self.follow(found).await;
                info!(director = %address, reason, "director lost");
                // The others first.
                if let Some(lost) = self.directors.iter().position(|director| *director == address) {
                    self.directors.rotate_left(lost + 1);
                }
            } else {
                tokio::time::sleep(backoff.next(&mut rng)).await;
            }
        }
    }

    /// Asks the directors in their order, the next one as soon as one has failed or taken [`STAGGER`]; the first
    /// answer counts. A dead one costs no more than that, however many there are.
    async fn find(&self) -> Option<Found> {
        // Those that are slower are given up with it.
        let mut asking = JoinSet::new();
        let mut directors = self.directors.iter();
        loop {
            if let Some(address) = directors.next() {
                asking.spawn(ask(self.connector.clone(), address.clone()));
            }
            let answered = if directors.len() > 0 {
                timeout(STAGGER, asking.join_next()).await
            } else {
                Ok(asking.join_next().await)
            };
            match answered {
                Ok(Some(Ok(Ok(found)))) => return Some(found),
                Ok(Some(Ok(Err(failure)))) => {
                    debug!(failure, "director does not answer");
                    self.routes.send_modify(|routes| routes.failure = Some(failure));
                }
                // A panic, which has been reported; or no time is left for this one alone.
                Ok(Some(Err(_))) | Err(_) => {}
                Ok(None) => return None,
            }
        }
    }

    /// Says why the director is followed no longer.
    async fn follow(&self, mut found: Found) -> String {
        let mut known = Known::new(&self.endpoints.borrow());
        let mut update = found.first;
        loop {
            self.heard(update, &mut known);
            update = match timeout(SILENT, found.updates.next()).await {
                Ok(Some(Ok(update))) => update,
                Ok(None) => return "it ended the list".into(),
                Ok(Some(Err(status))) => return status.to_string(),
                Err(_) => return format!("nothing came for {SILENT:?}"),
            };
        }
    }

    fn heard(&self, update: Update, known: &mut Known) {
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
            routes.failure = None;
            if table.is_some() {
                routes.table = table;
            }
        });
    }
}

/// The workers known while one director is followed: those that it tells of, and at first those that were known
/// before. A director that was just started knows none, and then not all at once: it must not take away workers
/// that it has not heard of yet. Whether they answer, calls find out themselves.
#[derive(Debug)]
struct Known {
    before: Vec<Endpoint>,
    told: Vec<Endpoint>,
    /// When the first worker was told of.
    since: Option<Instant>,
}

impl Known {
    fn new(before: &EndpointSet) -> Self {
        Self { before: before.to_vec(), told: Vec::new(), since: None }
    }

    /// Takes a table in, or lets time pass.
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

async fn ask(connector: Connector, address: String) -> Result<Found, String> {
    let asked = async {
        let channel = connector.connect(&address).await.map_err(|error| match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })?;
        let directory = DirectoryClient::new(channel);
        let mut updates = directory.watch().await.map_err(|error| error.to_string())?;
        match updates.next().await {
            Some(Ok(first)) => Ok(Found { address: address.clone(), _directory: directory, updates, first }),
            None => Err("it ended the list".into()),
            Some(Err(status)) => Err(status.to_string()),
        }
    };
    let answered = timeout(SILENT, asked).await;
    answered
        .unwrap_or_else(|_| Err(format!("nothing came within {SILENT:?}")))
        .map_err(|reason| format!("{address}: {reason}"))
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
        let mut known = Known::new(&table(&[(1, 1), (2, 2), (3, 3)]).endpoints());
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
        let mut known = Known::new(&EndpointSet::from([]));
        assert_eq!(ports(&known.update(Some(&table(&[(1, 1), (2, 2)])), &any, now)), [1, 2]);
        assert_eq!(ports(&known.update(Some(&table(&[(2, 2)])), &any, now)), [2]);
        assert_eq!(ports(&known.update(Some(&table(&[])), &any, now)), [] as [u16; 0]);
    }
}
