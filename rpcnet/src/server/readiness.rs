//! The readiness of a server: whether it should get calls. It depends on the server's phase, on checks and
//! conditions, and on services that were taken out of service.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use tracing::{info, warn};

use super::{Server, ServerPhase, WeakServer};
use crate::{Readiness, session::Background};

/// The shortest period of a check.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);

/// The inputs to readiness other than the phase.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Checks that have failed or have not succeeded yet, by name, with their messages.
    failing: BTreeMap<String, String>,
    /// Notes of met conditions, by the condition's name. They do not affect readiness.
    notes: BTreeMap<String, String>,
    /// Services that were taken out of service.
    out: BTreeSet<String>,
}

impl Conditions {
    fn readiness(&self, phase: ServerPhase) -> Readiness {
        let phase = match phase {
            ServerPhase::Running => None,
            ServerPhase::Bound => Some("the server does not run yet".to_owned()),
            ServerPhase::Draining => Some("the server is draining".to_owned()),
            ServerPhase::Closed => Some("the server is shut down".to_owned()),
        };
        let named = |(name, text): (&String, &String)| format!("{name}: {text}");
        let mut reasons: Vec<_> = phase.into_iter().chain(self.failing.iter().map(named)).collect();
        let ready = reasons.is_empty();
        if ready {
            reasons.extend(self.notes.iter().map(named));
        }
        Readiness { ready, reasons, not_serving: self.out.iter().cloned().collect() }
    }
}

/// A condition of a server's readiness, whose owner reports its state: [`Server::readiness_condition`]. Cheap
/// to clone. It does not keep the server alive.
#[derive(Debug, Clone)]
pub struct ReadinessCondition {
    server: WeakServer,
    name: String,
}

impl ReadinessCondition {
    /// Reports that the condition is met.
    pub fn meet(&self) {
        self.change(None, None);
    }

    /// Reports that the condition is met, with a note for people who look. The note is listed among the
    /// reasons of a server that is ready.
    pub fn meet_with_note(&self, note: impl Into<String>) {
        self.change(None, Some(note.into()));
    }

    /// Reports that the condition is not met. The server is not ready, for this reason.
    pub fn fail(&self, reason: impl Into<String>) {
        self.change(Some(reason.into()), None);
    }

    fn change(&self, failing: Option<String>, note: Option<String>) {
        let set = |texts: &mut BTreeMap<String, String>, text| match text {
            Some(text) => texts.insert(self.name.clone(), text),
            None => texts.remove(&self.name),
        };
        let Some(server) = self.server.upgrade() else { return };
        server.change(|conditions| {
            set(&mut conditions.failing, failing);
            set(&mut conditions.notes, note);
        });
    }
}

impl Server {
    /// The readiness that `rpcnet.Health/ready` returns: whether this server should get calls now.
    pub fn readiness(&self) -> Readiness {
        self.inner.readiness.borrow().clone()
    }

    /// Watches the readiness.
    pub fn watch_readiness(&self) -> watch::Receiver<Readiness> {
        self.inner.readiness.subscribe()
    }

    /// Makes readiness depend on a check, for example of a database or of a model that has to load.
    ///
    /// `check` runs at once, and then again `period` (at least 10 ms) after each run has ended. The server is
    /// not ready while the check fails, takes longer than `period`, or has not succeeded yet; the reason is
    /// the name with the check's message. The checks end with the server. A second check with the same name
    /// runs beside the first, and the last result counts.
    pub fn add_check<F, R, E>(&self, name: impl Into<String>, period: Duration, check: F)
    where
        F: Fn() -> R + Send + 'static,
        R: Future<Output = Result<(), E>> + Send,
        E: std::fmt::Display,
    {
        let (name, period) = (name.into(), period.max(SHORTEST_PERIOD));
        self.change(|conditions| {
            conditions.failing.insert(name.clone(), "not checked yet".into());
        });
        let server = self.downgrade();
        self.spawn_owned(async move {
            loop {
                let failure = match timeout(period, check()).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("no answer within {period:?}")),
                };
                let Some(server) = server.upgrade() else { return };
                server.record_check(&name, failure);
                drop(server);
                tokio::time::sleep(period).await;
            }
        });
    }

    /// Makes readiness depend on a condition whose owner reports its changes, so that nothing has to poll as
    /// [`add_check`](Self::add_check) does. It is met at first. A second condition or check with the same
    /// name is the same one.
    pub fn readiness_condition(&self, name: impl Into<String>) -> ReadinessCondition {
        ReadinessCondition { server: self.downgrade(), name: name.into() }
    }

    fn record_check(&self, name: &str, failure: Option<String>) {
        self.change(|conditions| match failure {
            None => {
                if conditions.failing.remove(name).is_some() {
                    info!(check = name, "check succeeds");
                }
            }
            Some(failure) => {
                let before = conditions.failing.insert(name.to_owned(), failure.clone());
                if before.as_ref() != Some(&failure) {
                    warn!(check = name, failure, "check fails: the server is not ready");
                }
            }
        });
    }

    /// Takes the service with this wire name out of service, or puts it back. Clients no longer choose this
    /// server for it, but calls that arrive are answered.
    pub fn set_serving(&self, service: &str, serving: bool) {
        self.change(|conditions| {
            if serving {
                conditions.out.remove(service);
            } else {
                conditions.out.insert(service.to_owned());
            }
        });
    }

    /// Reports load that does not show in the number of calls (a queue behind them, a shared device),
    /// expressed as a number of calls. Replies carry it together with the number of calls in flight, and
    /// clients prefer servers with less load.
    pub fn report_load(&self, calls: u64) {
        self.inner.router.report_load(calls);
    }

    pub(crate) fn background(&self) -> Background {
        self.inner.router.background()
    }

    fn change(&self, change: impl FnOnce(&mut Conditions)) {
        let mut conditions = self.inner.conditions.lock();
        change(&mut conditions);
        self.publish(&conditions);
    }

    /// Moves to a later phase, never back.
    pub(super) fn advance(&self, to: ServerPhase) {
        let conditions = self.inner.conditions.lock();
        self.inner.phase.send_if_modified(|phase| {
            let forward = to > *phase;
            if forward {
                *phase = to;
            }
            forward
        });
        self.publish(&conditions);
    }

    fn publish(&self, conditions: &Conditions) {
        let now = conditions.readiness(*self.inner.phase.borrow());
        self.inner.readiness.send_if_modified(|readiness| {
            let changed = *readiness != now;
            *readiness = now;
            changed
        });
    }
}
