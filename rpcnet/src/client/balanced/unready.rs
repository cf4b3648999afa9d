//! Explains why no endpoint takes a call, for the status in which the call ends.

use std::{error::Error, fmt, sync::Arc};

use super::{BalancedChannel, BalancedShared, endpoint::EndpointState, picking::service_name};
use crate::{ConnectError, Request, Status, error::chain, session::Session};

/// Describes where the endpoints come from.
pub(super) struct Origin(Box<dyn Fn() -> String + Send + Sync>);

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin")
    }
}

impl BalancedChannel {
    /// Sets a description of where the endpoints come from and why there are not more, such as
    /// `director-1:8080 lists 3 workers, none with the tag role=gpu`. It becomes part of the status of calls
    /// that find no endpoint.
    ///
    /// For code that feeds the channel its endpoints. The function is called for each such call. Only the
    /// first function that is set is used.
    pub fn set_origin(&self, origin: impl Fn() -> String + Send + Sync + 'static) {
        let _ = self.inner.shared.origin.set(Origin(Box::new(origin)));
    }
}

/// The number of endpoints that are unfit for each reason. An endpoint counts under the first reason that
/// holds.
#[derive(Default)]
struct UnfitCounts {
    lacking: usize,
    away: usize,
    out_of_service: usize,
    tried: usize,
    connecting: usize,
    silent: usize,
    unreachable: usize,
    failure: Option<Arc<ConnectError>>,
}

impl UnfitCounts {
    fn add(&mut self, member: &EndpointState, request: &Request, tried: &[Session]) {
        if !member.has_service(request.user_service()) {
            self.lacking += 1;
        } else if member.is_away() {
            self.away += 1;
        } else if !member.serves(request.service_id()) {
            self.out_of_service += 1;
        } else if member.pool.is_ready() {
            // If a connection takes calls, the call was tried on it.
            self.tried += usize::from(!tried.is_empty());
        } else if let Some(failure) = member.pool.failure() {
            self.unreachable += 1;
            self.failure.get_or_insert(failure);
        } else if member.pool.is_connected() {
            self.silent += 1;
        } else {
            self.connecting += 1;
        }
    }

    fn describe(&self, service: &str) -> String {
        let parts = [
            (self.lacking, format!("do not serve {service}")),
            (self.away, "drain or are not ready".to_owned()),
            (self.out_of_service, format!("have taken {service} out of service")),
            (self.tried, "were tried already".to_owned()),
            (self.silent, "are silent".to_owned()),
            (self.connecting, "are being connected to".to_owned()),
            (self.unreachable, "can't be connected to".to_owned()),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let mut text = parts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ");
        if let Some(failure) = &self.failure {
            text += &format!(" ({})", chain(&**failure));
        }
        text
    }
}

impl BalancedShared {
    pub(super) fn none_ready(&self, request: &Request, tried: &[Session]) -> Status {
        let members = &self.members.load().all;
        let service = service_name(request);
        let call = match request.relayed() {
            None => request.method().to_string(),
            Some(_) => service.clone(),
        };
        let origin = self.origin.get().map(|origin| format!(": {}", (origin.0)())).unwrap_or_default();
        if members.is_empty() {
            let message = format!("no endpoint is known to which {call} could go{origin}");
            return Status::unavailable(message).not_executed();
        }
        let mut counts = UnfitCounts::default();
        members.iter().for_each(|member| counts.add(member, request, tried));
        let many = members.len();
        let message = if counts.lacking == many {
            format!("none of {many} endpoints serves {service} now{origin}")
        } else {
            let why = counts.describe(&service);
            let why = if why.is_empty() { why } else { format!(": {why}") };
            let waited = self.config.ready_timeout;
            format!(
                "none of {many} endpoints takes {call}, which has waited for at most {waited:?}{why}{origin}"
            )
        };
        let status = Status::unavailable(message).not_executed();
        match counts.failure {
            Some(failure) => status.with_source(failure as Arc<dyn Error + Send + Sync>),
            None => status,
        }
    }
}
