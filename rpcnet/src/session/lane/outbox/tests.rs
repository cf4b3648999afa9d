use std::sync::Arc;

use super::*;
use crate::session::tests::{Woken, pair};

fn put(outbox: &Outbox, text: &str) {
    outbox.put(|buffer| buffer.extend_from_slice(text.as_bytes()));
}

fn call(outbox: &Outbox, others: (usize, bool)) -> Put {
    let (at_work, expected) = others;
    let others = Others { at_work, expected };
    outbox.fill_call(Instant::now(), others, |buffer| buffer.extend_from_slice(b"call "))
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_those_who_are_expected() {
    let pair = pair().await;
    let (send, _recv) = pair.client.open_bi().await.expect("it stands");
    let (outbox, mut writer) = (Outbox::default(), LaneWriter::new(send));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(outbox.poll_write(cx, &mut writer).is_ready());

    assert!(matches!(call(&outbox, (8, true)), Put::Wakes(_)), "the driver has told nobody");
    outbox.awake();
    assert!(outbox.poll_write(cx, &mut writer).is_ready());
    outbox.gather(BatchWindow::new(Instant::now(), false));
    assert!(matches!(call(&outbox, (8, true)), Put::Waits));
    assert!(matches!(call(&outbox, (8, true)), Put::Leaves), "a quarter of them has come");
    assert!(outbox.poll_write(cx, &mut writer).is_ready());
    assert!(matches!(call(&outbox, (8, true)), Put::Waits));
    tokio::time::advance(std::time::Duration::from_micros(50)).await;
    assert!(matches!(call(&outbox, (80, true)), Put::Leaves), "time is up");
    assert!(outbox.poll_write(cx, &mut writer).is_ready());
    assert!(matches!(call(&outbox, (8, false)), Put::Leaves), "all have come");
    assert!(outbox.poll_write(cx, &mut writer).is_ready());
    assert!(matches!(call(&outbox, (8, true)), Put::Wakes(_)), "nobody is waited for any more");

    outbox.awake();
    outbox.gather(BatchWindow::new(Instant::now(), false));
    assert!(matches!(call(&outbox, (80, true)), Put::Waits));
    outbox.gathered();
    assert!(outbox.poll_write(cx, &mut writer).is_ready());
    assert!(matches!(call(&outbox, (80, true)), Put::Wakes(_)), "the driver had its turn");
}

#[tokio::test(start_paused = true)]
async fn a_driver_is_woken_once_and_not_while_it_runs() {
    let pair = pair().await;
    let (send, _recv) = pair.client.open_bi().await.expect("it stands");
    let (outbox, mut writer) = (Outbox::default(), LaneWriter::new(send));
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(woken.clone());
    let cx = &mut Context::from_waker(&waker);

    assert!(outbox.poll_write(cx, &mut writer).is_ready());
    put(&outbox, "one ");
    put(&outbox, "two ");
    assert_eq!(woken.times(), 1);

    outbox.awake();
    put(&outbox, "three ");
    assert!(outbox.poll_write(cx, &mut writer).is_ready());
    outbox.awake();
    put(&outbox, "four ");
    assert!(outbox.poll_write(cx, &mut writer).is_ready());
    assert_eq!(woken.times(), 1, "it runs, and writes before it waits");

    put(&outbox, "five");
    assert_eq!(woken.times(), 2);
    assert!(outbox.poll_write(cx, &mut writer).is_ready());

    let (_send, mut recv) = pair.server.accept_bi().await.expect("it has begun");
    let mut read = Vec::new();
    while read.len() < "one two three four five".len() {
        read.extend_from_slice(&recv.read_chunk(64).await.expect("it goes on").expect("there is more"));
    }
    assert_eq!(read, b"one two three four five");
}
