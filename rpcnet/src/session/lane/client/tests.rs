use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;

use super::*;
use crate::{
    Limits, Method,
    proto::{LaneBuffer, LaneInput, PREFACE, ReplyHeader, ReplyKind},
    session::{
        Driver,
        tests::{Pair, Woken, pair, runtime},
    },
    transport::{RecvStream, SendStream},
};

static METHOD: Method = Method::new("test.v1.Echo", "echo", "() -> Result<(), Status>");

/// A caller that is alone has put a frame in, and its driver sleeps.
fn put(shared: &Shared) -> Waker {
    shared.outbox.fill(|buffer| buffer.extend_from_slice(b"frame")).expect("the driver waits")
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_writes_without_the_driver() {
    let pair = pair().await;
    let (send, _recv) = pair.client.open_bi().await.expect("it stands");
    let shared = Shared { writer: Mutex::new(Some(LaneWriter::new(send))), ..Shared::default() };
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(woken.clone());
    assert!(shared.poll_write(&mut Context::from_waker(&waker)).is_ready());

    shared.write_for(&put(&shared));
    let (_send, mut recv) = pair.server.accept_bi().await.expect("it has begun");
    assert_eq!(recv.read_chunk(64).await.expect("it goes on").expect("there is more"), b"frame"[..]);
    assert_eq!(woken.times(), 0, "there was nothing left to do");

    // While somebody else writes.
    let busy = shared.writer();
    let driver = shared.outbox.fill(|buffer| buffer.extend_from_slice(b"frame")).expect("it waits again");
    shared.write_for(&driver);
    drop(busy);
    assert_eq!(woken.times(), 1);

    // Where the lane has ended.
    assert!(shared.poll_write(&mut Context::from_waker(&waker)).is_ready());
    shared.close(&Status::unavailable("the lane has ended"));
    shared.write_for(&put(&shared));
    assert_eq!(woken.times(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_does_not_take_is_written_by_the_driver() {
    let pair = pair().await;
    let (send, _recv) = pair.client.open_bi().await.expect("it stands");
    let shared = Shared { writer: Mutex::new(Some(LaneWriter::new(send))), ..Shared::default() };
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(woken.clone());
    assert!(shared.poll_write(&mut Context::from_waker(&waker)).is_ready());

    // More than any window.
    let size = 4 << 20;
    let driver = shared.outbox.fill(|buffer| buffer.resize(size, 7)).expect("it waits");
    shared.write_for(&driver);
    assert_eq!(woken.times(), 0);
    let (_send, mut recv) = pair.server.accept_bi().await.expect("it has begun");
    let mut read = 0;
    while read < size {
        read += recv.read_chunk(usize::MAX).await.expect("it goes on").expect("there is more").len();
        let _ = shared.poll_write(&mut Context::from_waker(&waker));
    }
    assert!(woken.times() > 0, "it is told when there is room");
}

/// A session with a lane, and its peer's end of it.
struct Ends {
    session: Session,
    send: SendStream,
    recv: RecvStream,
    input: LaneBuffer,
    _kept: (Driver, Pair),
}

impl Ends {
    async fn new() -> Self {
        let pair = pair().await;
        let (session, driver) =
            Session::forwarding(pair.client.clone(), Arc::default(), Limits::default(), runtime(), None);
        let lane = LaneClient::open(&session).await.expect("it stands");
        session.inner.lane.get_or_init(|| lane);
        let (send, mut recv) = pair.server.accept_bi().await.expect("it has begun");
        let begun = recv.read_chunk(PREFACE.len()).await.expect("it goes on").expect("there is more");
        assert_eq!(begun, PREFACE[..]);
        Self { session, send, recv, input: LaneBuffer::default(), _kept: (driver, pair) }
    }

    /// Reads so many calls; also gives in how many pieces they came.
    async fn read(&mut self, calls: usize) -> (Vec<u64>, usize) {
        let (mut ids, mut pieces) = (Vec::new(), 0);
        while ids.len() < calls {
            let chunk = self.recv.read_chunk(usize::MAX).await.expect("it goes on").expect("there is more");
            self.input.add(chunk);
            pieces += 1;
            while let Some((id, input)) = self.input.next::<RequestHeader>().expect("well-formed") {
                if let LaneInput::Message(..) = input {
                    ids.push(id);
                }
            }
        }
        (ids, pieces)
    }

    /// Answers them all at once.
    async fn answer(&mut self, ids: &[u64]) {
        let mut buffer = BytesMut::new();
        for id in ids {
            put_message(&mut buffer, *id, &ReplyHeader::new(ReplyKind::Value, 0), &[]);
        }
        self.send.write(buffer.freeze()).await.expect("it stands");
    }
}

async fn call(session: Session) {
    let request = Request::new(&METHOD, Bytes::new());
    let times = Deadlines::of(&request, &Limits::default());
    let mut started = None;
    std::future::poll_fn(|cx| {
        let call = started.get_or_insert_with(|| {
            let lane = session.inner.lane.get().expect("it stands");
            let id = lane.call(&request, (None, None), &times, Some(cx.waker()));
            LaneCall::new(session.clone(), id.expect("there is room"))
        });
        Pin::new(call).poll(cx)
    })
    .await
    .expect("it is answered");
}

#[tokio::test(start_paused = true)]
async fn callers_who_are_told_together_call_together() {
    const CALLERS: usize = 64;
    let mut ends = Ends::new().await;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let session = ends.session.clone();
        callers.spawn(async move {
            for _ in 0..3 {
                call(session.clone()).await;
            }
        });
    }
    let mut all = HashSet::new();
    for round in 0..3 {
        let (ids, pieces) = ends.read(CALLERS).await;
        assert!(ids.iter().all(|id| all.insert(*id)));
        // A quarter at a time: neither call by call, nor all when the last has come.
        assert!(round == 0 || (2..=5).contains(&pieces), "{CALLERS} calls came in {pieces} pieces");
        ends.answer(&ids).await;
    }
    callers.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_come_back_holds_up_nobody() {
    let mut ends = Ends::new().await;
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let session = ends.session.clone();
        callers.spawn(async move {
            call(session.clone()).await;
            if caller == 0 {
                call(session).await;
            } else {
                std::future::pending().await
            }
        });
    }
    let (ids, _) = ends.read(8).await;
    ends.answer(&ids).await;
    let (ids, _) = ends.read(1).await;
    ends.answer(&ids).await;
    callers.join_next().await.expect("one ends").expect("it does not panic");
}

/// A call that was started and whose caller is not a task; it is polled when the test wants.
struct Held {
    call: LaneCall,
    woken: Arc<Woken>,
}

impl Held {
    fn start(session: &Session) -> Self {
        let request = Request::new(&METHOD, Bytes::new());
        let times = Deadlines::of(&request, &Limits::default());
        let woken = Arc::<Woken>::default();
        let lane = session.inner.lane.get().expect("it stands");
        let id = lane.call(&request, (None, None), &times, Some(&Waker::from(woken.clone())));
        Self { call: LaneCall::new(session.clone(), id.expect("there is room")), woken }
    }

    fn poll(&mut self) -> Poll<CallOutcome> {
        let waker = Waker::from(self.woken.clone());
        Pin::new(&mut self.call).poll(&mut Context::from_waker(&waker))
    }

    async fn woken(&self) {
        for _ in 0..10_000 {
            if self.woken.times() > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("nobody has woken it");
    }

    fn reads(&self) -> bool {
        self.call.shared().calls().reader() == Some(self.call.id)
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_reads_its_answer_itself() {
    let mut ends = Ends::new().await;
    for _ in 0..3 {
        let mut held = Held::start(&ends.session);
        let (ids, _) = ends.read(1).await;
        assert!(held.poll().is_pending() && held.reads());
        ends.answer(&ids).await;
        held.woken().await;
        assert!(held.reads(), "the driver has left it to the caller");
        assert!(held.poll().is_ready());
        assert!(!held.reads());
    }
    // Late answers are for the driver again.
    let held = Held::start(&ends.session);
    let (ids, _) = ends.read(1).await;
    drop(held);
    ends.answer(&ids).await;
    call_and_answer(&mut ends).await;
}

/// A call that a task makes.
async fn call_and_answer(ends: &mut Ends) {
    let called = tokio::spawn(call(ends.session.clone()));
    let (ids, _) = ends.read(1).await;
    ends.answer(&ids).await;
    called.await.expect("it does not panic");
}

#[tokio::test(start_paused = true)]
async fn nobody_depends_on_a_caller_that_reads_and_does_not_come_by() {
    let mut ends = Ends::new().await;
    let mut held = Held::start(&ends.session);
    let (first, _) = ends.read(1).await;
    assert!(held.reads());
    call_and_answer(&mut ends).await;
    // Not even where it was woken for what is another's.
    ends.answer(&first).await;
    held.woken().await;
    call_and_answer(&mut ends).await;
    assert!(held.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn who_is_answered_right_before_the_end_is_told() {
    let mut ends = Ends::new().await;
    let mut calls = [(); 3].map(|()| Held::start(&ends.session));
    let (ids, _) = ends.read(3).await;
    ends.answer(&ids).await;
    ends.send.finish();
    for held in &mut calls {
        held.woken().await;
        assert!(matches!(held.poll(), Poll::Ready(Ok(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_hears_of_the_end_of_the_lane() {
    let mut ends = Ends::new().await;
    let mut held = Held::start(&ends.session);
    ends.read(1).await;
    assert!(held.reads());
    ends.send.reset(7);
    while held.poll().is_pending() {
        tokio::task::yield_now().await;
    }
    let lane = ends.session.inner.lane.get().expect("it stood");
    let request = Request::new(&METHOD, Bytes::new());
    let times = Deadlines::of(&request, &Limits::default());
    assert_eq!(lane.call(&request, (None, None), &times, None), None, "others are told at once");
}
