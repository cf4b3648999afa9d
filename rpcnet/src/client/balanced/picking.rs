//! Picks an endpoint for a call.

use std::sync::{Arc, atomic::Ordering};

use rand::rngs::SmallRng;
use tokio::time::{Duration, Instant, timeout_at};

use super::{
    BalancedShared,
    endpoint::{EndpointState, InFlight, SharedCounts},
    groups::CandidateGroup,
};
use crate::{
    Request, Status,
    balance::Candidates,
    connect::channel_closed,
    session::{Session, after},
};

/// The reason why no endpoint is picked.
pub(super) enum Unpicked {
    /// No endpoint takes calls, or the call was tried at all that do.
    Ready,
    /// All endpoints that take calls are at their bound.
    Full,
    /// Endpoints are known, but none serves the service.
    Unserved,
}

/// The members, as a picker sees them.
struct PickView<'a> {
    choice: CandidateGroup<'a>,
    common: &'a SharedCounts,
    service: Option<u64>,
    /// As `service`, but also set for services whose names begin with `rpcnet.`. They too may be taken out of
    /// service at an endpoint.
    named: Option<u64>,
    tried: &'a [Session],
    now: Instant,
    most: usize,
    /// Set to pick ejected endpoints too.
    desperate: bool,
}

impl PickView<'_> {
    fn members(&self) -> &[Arc<EndpointState>] {
        &self.choice.group.members
    }

    /// Returns true if the endpoint may serve the service and has not taken it out of service.
    fn serves(&self, member: &EndpointState) -> bool {
        (!self.choice.check || member.has_service(self.service)) && member.serves(self.named)
    }

    fn is_full(&self, member: &EndpointState) -> bool {
        member.pending() >= self.most
    }
}

impl Candidates for PickView<'_> {
    fn len(&self) -> usize {
        self.members().len()
    }

    fn cost(&self, index: usize) -> Option<f64> {
        self.takes_calls(index).then(|| self.members()[index].cost(self.now))
    }

    fn takes_calls(&self, index: usize) -> bool {
        let member = &self.members()[index];
        member.is_untried(self.tried)
            && self.serves(member)
            && !self.is_full(member)
            && (self.desperate || member.admits(self.now))
    }

    fn pending(&self, index: usize) -> usize {
        self.members()[index].pending()
    }

    fn ready(&self) -> usize {
        self.choice.group.ready.load(Ordering::Relaxed)
    }

    fn pending_in_all(&self) -> usize {
        if self.choice.group.is_whole {
            return self.common.pending.load(Ordering::Relaxed);
        }
        // Includes calls of other services at the same endpoints, but not calls elsewhere.
        self.members().iter().map(|member| member.pending()).sum()
    }

    fn weight(&self, index: usize) -> f64 {
        self.members()[index].weight(self.now)
    }
}

impl BalancedShared {
    pub(super) fn with_rng<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        draw(&mut self.rng.lock())
    }

    /// Picks an endpoint that takes calls, and a session that leads elsewhere than those in `tried`.
    pub(super) fn pick(&self, request: &Request, tried: &[Session]) -> Result<InFlight, Unpicked> {
        let (key, service) = (request.key(), request.user_service());
        let members = self.members.load();
        let choice = members.choice(service);
        let group = choice.group;
        let mut view = PickView {
            choice,
            common: &self.common,
            service,
            named: request.service_id(),
            tried,
            now: Instant::now(),
            most: self.config.max_pending,
            desperate: false,
        };
        let pick =
            |view: &PickView<'_>| self.with_rng(|rng| group.picker.pick(&group.layout, view, key, rng));
        let begins = |index: &usize| group.members[*index].begin(view.now);
        // If another call has claimed the trial of an ejected endpoint, usually another endpoint is
        // available: pick again, at most twice.
        let mut picked = pick(&view);
        for _ in 0..2 {
            if picked.as_ref().is_none_or(begins) {
                break;
            }
            picked = pick(&view);
        }
        if picked.is_none() {
            // An endpoint that fails now and then is better than none.
            view.desperate = true;
            picked = pick(&view);
        }
        let session = picked.and_then(|index| {
            let member = &group.members[index];
            // The endpoint may just have disconnected. Then this counts as if none had been picked.
            Some((member, member.untried(tried)?))
        });
        match session {
            Some((member, session)) => Ok(member.picked(session, view.now)),
            None if group.members.iter().any(|member| member.is_untried(tried) && view.serves(member)) => {
                Err(Unpicked::Full)
            }
            None if !members.all.is_empty() && !members.has_service(service) => Err(Unpicked::Unserved),
            None => Err(Unpicked::Ready),
        }
    }

    /// As [`pick`](Self::pick), but waits for an endpoint that is ready.
    pub(super) async fn pick_or_wait(
        &self,
        request: &Request,
        tried: &[Session],
        deadline: Instant,
    ) -> Result<InFlight, Status> {
        let deadline = deadline.min(after(Instant::now(), self.config.ready_timeout));
        timeout_at(deadline, async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                match self.pick(request, tried) {
                    Ok(picked) => return Ok(picked),
                    Err(Unpicked::Full) => return Err(self.all_full()),
                    Err(Unpicked::Ready | Unpicked::Unserved) if self.closing.is_closed() => {
                        return Err(channel_closed());
                    }
                    Err(Unpicked::Unserved) if self.is_unknown(request.user_service()) => {
                        return Err(self.unserved(request));
                    }
                    // An endpoint may connect, or one that serves the service may be added.
                    Err(Unpicked::Ready | Unpicked::Unserved) => {
                        self.members.load().all.iter().for_each(|member| member.pool.want());
                    }
                }
                // A silent endpoint that answers again sends no notification: look again in a moment.
                let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
            }
        })
        .await
        .unwrap_or_else(|_| Err(self.none_ready(request, tried)))
    }

    /// Returns true if no endpoint has served the service, and the list has not grown for a while.
    fn is_unknown(&self, service: Option<u64>) -> bool {
        let Some(service) = service else { return false };
        !self.served.was_served(service) && self.served.has_settled(Instant::now())
    }

    fn unserved(&self, request: &Request) -> Status {
        let endpoints = self.members.load().all.len();
        Status::unimplemented(format!(
            "none of {endpoints} endpoints serves {}: register it at one of them, or check its name",
            service_name(request)
        ))
        .not_executed()
    }

    fn all_full(&self) -> Status {
        Status::resource_exhausted(format!(
            "each endpoint that takes calls has {} of this channel's at work: make fewer at a time, or raise max_pending",
            self.config.max_pending
        ))
        .not_executed()
    }

    /// Returns true if a call that was picked for one endpoint could go to another.
    pub(super) fn has_other(&self, than: &EndpointState, service: Option<u64>, tried: &[Session]) -> bool {
        self.has(service, |member| !std::ptr::eq(member, than) && member.is_untried(tried))
    }

    /// Returns true if an endpoint takes calls of this service on a session that leads elsewhere than those
    /// in `tried`.
    pub(super) fn has_untried(&self, service: Option<u64>, tried: &[Session]) -> bool {
        self.has(service, |member| member.is_untried(tried))
    }

    fn has(&self, service: Option<u64>, suits: impl Fn(&EndpointState) -> bool) -> bool {
        let members = self.members.load();
        let CandidateGroup { group, check } = members.choice(service);
        let serves =
            |member: &EndpointState| (!check || member.has_service(service)) && member.serves(service);
        group.members.iter().any(|member| suits(member) && serves(member))
    }
}

/// The wire name of a call's service. For a forwarded call only the hash of the name is known.
pub(super) fn service_name(request: &Request) -> String {
    match request.relayed() {
        None => request.method().service().to_owned(),
        Some(relayed) => match relayed.routing.service {
            Some(id) => format!("the service of this call (hash {id:016x})"),
            None => "the service of this call".to_owned(),
        },
    }
}

#[cfg(feature = "measuring")]
impl super::BalancedChannel {
    /// Picks an endpoint `times` times and drops each pick. Returns true if there always was one.
    #[doc(hidden)]
    pub fn pick_for_measuring(&self, times: usize) -> bool {
        static METHOD: crate::Method = crate::Method::new("bench.Pick", "pick", "");
        let request = Request::new(&METHOD, bytes::Bytes::new());
        (0..times).all(|_| self.inner.shared.pick(&request, &[]).is_ok())
    }
}
