//! Whether a server should get calls: how far it is, what it depends on, and what was taken out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use tracing::{info, warn};

use super::{Server, ServerPhase, WeakServer};
use crate::{Readiness, session::Background};

/// Checks are not run more often than this says.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);

/// What is known, but for how far the server is.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Checks that have failed or not succeeded yet, by name, and what they said.
    failing: BTreeMap<String, String>,
    /// What is to be known though it does not keep the server from being ready, by the name of what it is about.
    notes: BTreeMap<String, String>,
    /// Services that were taken out.
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

/// A thing that a server's readiness depends on, whose owner says how it stands: [`Server::readiness_condition`]. Cheap to
/// clone; it does not keep the server.
#[derive(Debug, Clone)]
pub struct ReadinessCondition {
    server: WeakServer,
    name: String,
}

impl ReadinessCondition {
    /// It is met.
    pub fn meet(&self) {
        self.change(None, None);
    }

    /// It is met, and the server ready, but for something that people should know: the note is among the reasons of a server
    /// that is ready.
    pub fn meet_with_note(&self, note: impl Into<String>) {
        self.change(None, Some(note.into()));
    }

    /// It is not met, and the server not ready for this reason.
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
    /// What `rpcnet.Health/ready` answers: whether this server should get calls now.
    pub fn readiness(&self) -> Readiness {
        self.inner.readiness.borrow().clone()
    }

    /// The readiness, now and whenever it changes.
    pub fn watch_readiness(&self) -> watch::Receiver<Readiness> {
        self.inner.readiness.subscribe()
    }

    /// Makes readiness depend on something: a database, a model that is loaded. `check` is run at once and then every
    /// `period` (10 ms at least); while it fails, takes longer than `period`, or has not succeeded yet, the server is not ready, and the
    /// name and what it says are the reason. It ends with the server. A second check of a name runs beside the
    /// first, and the last result counts.
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
                server.checked(&name, failure);
                drop(server);
                tokio::time::sleep(period).await;
            }
        });
    }

    /// Makes readiness depend on something whose owner says when it changes, where [`add_check`](Self::add_check) would have
    /// to ask again and again. It is met at first. A second one of a name, or a check of that name, is the same one.
    pub fn readiness_condition(&self, name: impl Into<String>) -> ReadinessCondition {
        ReadinessCondition { server: self.downgrade(), name: name.into() }
    }

    fn checked(&self, name: &str, failure: Option<String>) {
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

    /// Takes the service of this wire name out of the clients' choice, or puts it back. Calls that come all the same are
    /// answered.
    pub fn set_serving(&self, service: &str, serving: bool) {
        self.change(|conditions| {
            if serving {
                conditions.out.remove(service);
            } else {
                conditions.out.insert(service.to_owned());
            }
        });
    }

    /// Load that is not seen in calls (a queue behind them, a device that is shared), counted in calls. It goes with
    /// replies, beside the number of calls at work, and clients prefer servers with less.
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

    /// Goes forward to a phase, never back.
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
