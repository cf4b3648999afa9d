//! Who gets a call.

use std::sync::{Arc, atomic::Ordering};

use rand::rngs::SmallRng;
use tokio::time::{Duration, Instant, timeout_at};

use super::{
    Shared,
    member::{Common, Member, Picked},
};
use crate::{
    Request, Status,
    balance::{Candidates, Layout},
    client::times::after,
    pool::closed,
    session::Session,
};

/// The endpoints at a moment, with what is computed for them as a set.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) all: Vec<Arc<Member>>,
    pub(super) layout: Layout,
}

/// Why no endpoint is picked.
pub(super) enum Unpicked {
    /// No endpoint takes calls, or those that do have been tried.
    Ready,
    /// Those that take calls have as many as they may.
    Full,
}

/// The members as a picker sees them.
struct View<'a> {
    members: &'a [Arc<Member>],
    common: &'a Common,
    service: Option<u64>,
    tried: &'a [Session],
    now: Instant,
    most: usize,
    /// Those that are left out for what calls there came to are taken all the same.
    desperate: bool,
}

impl View<'_> {
    fn is_full(&self, member: &Member) -> bool {
        member.pending() >= self.most
    }
}

impl Candidates for View<'_> {
    fn len(&self) -> usize {
        self.members.len()
    }

    fn cost(&self, index: usize) -> Option<f64> {
        self.takes_calls(index).then(|| self.members[index].cost(self.now))
    }

    fn takes_calls(&self, index: usize) -> bool {
        let member = &self.members[index];
        member.is_untried(self.tried)
            && member.serves(self.service)
            && !self.is_full(member)
            && (self.desperate || member.admits(self.now))
    }

    fn pending(&self, index: usize) -> usize {
        self.members[index].pending()
    }

    fn ready(&self) -> usize {
        self.common.ready.load(Ordering::Relaxed)
    }

    fn pending_in_all(&self) -> usize {
        self.common.pending.load(Ordering::Relaxed)
    }

    fn weight(&self, index: usize) -> f64 {
        self.members[index].weight(self.now)
    }
}

impl Shared {
    pub(super) fn with_rng<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// An endpoint that takes calls, on a connection that leads elsewhere than those on which this call was tried.
    pub(super) fn pick(&self, request: &Request, tried: &[Session]) -> Result<Picked, Unpicked> {
        let (key, service) = (request.key(), request.service_id());
        let members = self.members.load();
        let mut view = View {
            members: &members.all,
            common: &self.common,
            service,
            tried,
            now: Instant::now(),
            most: self.config.max_pending,
            desperate: false,
        };
        let pick = |view: &View<'_>| self.with_rng(|rng| self.picker.pick(&members.layout, view, key, rng));
        let begins = |index: &usize| members.all[*index].begin(view.now);
        // Where another call was faster to try one that was left out, there is another one, most of the time.
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
            let member = &members.all[index];
            // It may have disconnected in this moment: then it is as if there were none.
            Some((member, member.untried(tried)?))
        });
        match session {
            Some((member, session)) => Ok(member.picked(session, view.now)),
            None if members.all.iter().any(|member| member.is_untried(tried) && member.serves(service)) => {
                Err(Unpicked::Full)
            }
            None => Err(Unpicked::Ready),
        }
    }

    /// As [`pick`](Self::pick), waiting for one that is ready.
    pub(super) async fn pick_or_wait(
        &self,
        request: &Request,
        tried: &[Session],
        deadline: Instant,
    ) -> Result<Picked, Status> {
        let deadline = deadline.min(after(Instant::now(), self.config.ready_timeout));
        timeout_at(deadline, async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                match self.pick(request, tried) {
                    Ok(picked) => return Ok(picked),
                    Err(Unpicked::Full) => return Err(self.all_full()),
                    Err(Unpicked::Ready) if self.closing.is_closed() => return Err(closed()),
                    Err(Unpicked::Ready) => {}
                }
                // A silent endpoint that is heard from again tells nobody: look again in a moment.
                let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
            }
        })
        .await
        .unwrap_or_else(|_| Err(self.none_ready()))
    }

    fn all_full(&self) -> Status {
        Status::resource_exhausted(format!(
            "each endpoint that takes calls has {} of this channel's at work: make fewer at a time, or raise max_pending",
            self.config.max_pending
        ))
        .not_executed()
    }

    pub(super) fn none_ready(&self) -> Status {
        let members = &self.members.load().all;
        if members.is_empty() {
            return Status::unavailable("no endpoint is known").not_executed();
        }
        let failure = members.iter().find_map(|member| member.lines.failure());
        let away = members.iter().filter(|member| member.is_away()).count();
        let mut message = format!("none of {} endpoints takes calls", members.len());
        if away > 0 {
            message += &format!(" ({away} drain or are not ready)");
        }
        match failure {
            Some(error) => Status::unavailable(format!("{message}: {}", crate::error::chain(&*error)))
                .with_source(error as Arc<dyn std::error::Error + Send + Sync>)
                .not_executed(),
            None => Status::unavailable(message).not_executed(),
        }
    }

    /// Whether a call that was picked for one endpoint could go to another.
    pub(super) fn has_other(&self, than: &Member, service: Option<u64>, tried: &[Session]) -> bool {
        let is_other = |member: &Arc<Member>| {
            !std::ptr::eq(&**member, than) && member.is_untried(tried) && member.serves(service)
        };
        self.members.load().all.iter().any(is_other)
    }
}

#[cfg(feature = "measuring")]
impl super::BalancedChannel {
    /// Picks an endpoint so often, and forgets it each time; whether there always was one.
    #[doc(hidden)]
    pub fn pick_for_measuring(&self, times: usize) -> bool {
        static METHOD: crate::Method = crate::Method::new("bench.Pick", "pick", "");
        let request = Request::new(&METHOD, bytes::Bytes::new());
        (0..times).all(|_| self.inner.shared.pick(&request, &[]).is_ok())
    }
}
