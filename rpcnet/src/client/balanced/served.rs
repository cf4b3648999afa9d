//! Remembers which services endpoints have served. This tells a service that is gone for the moment from a
//! service that nobody has.

use std::{collections::BTreeSet, sync::MutexGuard, time::Duration};

use tokio::time::Instant;

use crate::lock::Mutex;

/// The time since the last endpoint or service was added after which calls of a service that no endpoint
/// serves fail at once. Before that they wait: a director that has just started learns of its workers one by
/// one, and so do its clients.
const SETTLED: Duration = Duration::from_secs(1);
/// The most services that are remembered.
const MOST: usize = 4096;

/// The services that endpoints have served since the channel was made.
#[derive(Debug, Default)]
pub(super) struct ServedServices(Mutex<SeenServices>);

#[derive(Debug, Default)]
struct SeenServices {
    services: BTreeSet<u64>,
    /// The last time at which an endpoint, or a service of one, was added.
    grown: Option<Instant>,
}

impl ServedServices {
    fn lock(&self) -> MutexGuard<'_, SeenServices> {
        self.0.lock()
    }

    /// Adds the services that endpoints serve now. `grew` is set if an endpoint is new or its services have
    /// changed.
    pub(super) fn update(&self, now: Instant, grew: bool, services: impl Iterator<Item = u64>) {
        if !grew {
            return;
        }
        let mut seen = self.lock();
        seen.grown = Some(now);
        for service in services {
            if seen.services.len() < MOST || seen.services.contains(&service) {
                seen.services.insert(service);
            }
        }
    }

    /// Returns true if an endpoint has served the service: one may come back.
    pub(super) fn was_served(&self, service: u64) -> bool {
        self.lock().services.contains(&service)
    }

    /// Returns true if nothing was added for a while.
    pub(super) fn has_settled(&self, now: Instant) -> bool {
        self.lock().grown.is_none_or(|grown| now.saturating_duration_since(grown) >= SETTLED)
    }
}
