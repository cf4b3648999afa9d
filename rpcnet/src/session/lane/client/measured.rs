//! One call on a lane for benches, without runtime and connection: its frame is written, its answer handed out.

use std::{
    future::pending,
    hint::black_box,
    sync::Arc,
    task::{Context, Waker},
};

use bytes::Bytes;

use super::{LaneClient, Shared};
use crate::{
    Limits, Method, Request,
    proto::{ReplyHeader, ReplyKind},
    session::Deadlines,
};

static METHOD: Method = Method::new("bench.v1.Echo", "echo", "(Bytes) -> Result<Bytes, Status>");
/// Frames leave together, so many at a time.
const TOGETHER: usize = 64;

/// Returns a closure that makes one call.
pub(crate) fn lane_call() -> impl FnMut() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it needs nothing");
    // In place of the driver.
    let task = runtime.spawn(pending::<()>()).abort_handle();
    let lane = LaneClient { shared: Arc::<Shared>::default(), task };
    let request = Request::new(&METHOD, Bytes::from_static(&[7; 32]));
    let times = Deadlines::of(&request, &Limits::default());
    let mut calls = 0;
    move || {
        let waker = Waker::noop();
        let id = lane.call(black_box(&request), (None, None), &times, Some(waker)).expect("it has room");
        let answer = (ReplyHeader::new(ReplyKind::Value, 0), Bytes::new());
        lane.finish(id, Ok(answer));
        let cx = &mut Context::from_waker(waker);
        assert!(black_box(lane.shared.calls().poll(id, cx)).is_ready(), "it was answered");
        calls += 1;
        if calls % TOGETHER == 0 {
            black_box(lane.shared.outbox.take());
        }
    }
}
