use super::*;
use crate::session::tests::{Woken, pair};

/// A caller that is alone has put a frame in, and its driver sleeps.
fn put(shared: &Shared) -> Waker {
    shared.outbox.fill(|buffer| buffer.extend_from_slice(b"frame")).expect("the driver waits")
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_writes_without_the_driver() {
    let pair = pair().await;
    let (send, _recv) = pair.client.open_bi().await.expect("it stands");
    let shared = Shared { writer: Mutex::new(Some(Writer::new(send))), ..Shared::default() };
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(woken.clone());
    assert!(shared.poll_write(&mut Context::from_waker(&waker)).is_ready());

    shared.write_for(put(&shared));
    let (_send, mut recv) = pair.server.accept_bi().await.expect("it has begun");
    assert_eq!(recv.read_chunk(64).await.expect("it goes on").expect("there is more"), b"frame"[..]);
    assert_eq!(woken.times(), 0, "there was nothing left to do");

    // While somebody else writes.
    let busy = shared.writer();
    let driver = shared.outbox.fill(|buffer| buffer.extend_from_slice(b"frame")).expect("it waits again");
    shared.write_for(driver);
    drop(busy);
    assert_eq!(woken.times(), 1);

    // Where the lane has ended.
    assert!(shared.poll_write(&mut Context::from_waker(&waker)).is_ready());
    shared.close(&Status::unavailable("the lane has ended"));
    shared.write_for(put(&shared));
    assert_eq!(woken.times(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_does_not_take_is_written_by_the_driver() {
    let pair = pair().await;
    let (send, _recv) = pair.client.open_bi().await.expect("it stands");
    let shared = Shared { writer: Mutex::new(Some(Writer::new(send))), ..Shared::default() };
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(woken.clone());
    assert!(shared.poll_write(&mut Context::from_waker(&waker)).is_ready());

    // More than any window.
    let size = 4 << 20;
    let driver = shared.outbox.fill(|buffer| buffer.resize(size, 7)).expect("it waits");
    shared.write_for(driver);
    assert_eq!(woken.times(), 0);
    let (_send, mut recv) = pair.server.accept_bi().await.expect("it has begun");
    let mut read = 0;
    while read < size {
        read += recv.read_chunk(usize::MAX).await.expect("it goes on").expect("there is more").len();
        let _ = shared.poll_write(&mut Context::from_waker(&waker));
    }
    assert!(woken.times() > 0, "it is told when there is room");
}
