//! Calls that are forwarded: by the peer, or by this side.

use std::sync::Arc;

use bytes::Bytes;

use super::answer;
use crate::{
    Method, Reply, Request, Status,
    proto::{MAX_LANE_MESSAGE, MAX_SELECTOR, ReplyHeader, Routing},
    session::Session,
};

impl Session {
    /// Returns the routing of a call for a peer that forwards calls; `None` for any other peer.
    pub(super) fn routing(&self, request: &Request) -> Result<Option<Arc<Routing>>, Status> {
        if !self.is_relayed() {
            return Ok(None);
        }
        if let Some(relayed) = request.relayed() {
            return Ok(Some(relayed.routing.clone()));
        }
        let routing = request.routing();
        let length = routing.selector.as_ref().map_or(0, |selector| selector.len());
        if length > MAX_SELECTOR {
            let message = format!("a selector of {length} bytes is too long, the limit is {MAX_SELECTOR}");
            return Err(Status::invalid_argument(message).not_executed());
        }
        Ok(Some(Arc::new(routing)))
    }

    /// Takes note of a method whose reply was too large for the lane, where nothing is known of the method but its id.
    pub(super) fn learn_size(&self, request: &Request, header: &ReplyHeader) {
        let length = header.size_hint() as u64 + header.body_length;
        // Ids come from peers: only those that are served here are kept.
        if length > MAX_LANE_MESSAGE as u64
            && !self.called(request).large
            && self.inner.schema.load().contains_key(&request.method_id())
        {
            self.found(request.place(), |called| called.large = true);
        }
    }

    /// The answer in a reply's opening frame.
    pub(super) fn answer(
        &self,
        header: ReplyHeader,
        body: Bytes,
        method: &'static Method,
    ) -> Result<Reply, Status> {
        let answer = answer(header, body, method);
        if self.is_relayed() { answer.map_err(Status::handed_on) } else { answer }
    }
}
