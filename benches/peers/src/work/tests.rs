use std::net::Ipv4Addr;

use super::*;

/// A peer that answers after 10 ms, in the given way.
#[derive(Clone, Copy, PartialEq)]
enum Fake {
    Right,
    Wrong,
    Short,
}

impl Peer for Fake {
    type Client = Self;

    async fn connect(&self, _: SocketAddr) -> Result<Self, Failure> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(*self)
    }
}

impl Client for Fake {
    async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(match self {
            Self::Right => payload.clone(),
            Self::Wrong => vec![0xff; payload.len()].into(),
            Self::Short => payload.slice(1..),
        })
    }

    async fn work(&self) -> Result<bool, Failure> {
        tokio::time::sleep(Duration::from_secs(if *self == Self::Right { 0 } else { 3 })).await;
        Ok(*self != Self::Right)
    }

    async fn items(&self, count: u64) -> Result<u64, Failure> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(if *self == Self::Short { count - 1 } else { count })
    }
}

fn work(fake: Fake) -> Work<Fake> {
    Work::new(fake, (Ipv4Addr::LOCALHOST, 1).into())
}

#[tokio::test(start_paused = true)]
async fn so_many_calls_are_in_flight_on_each_connection() {
    let mut work = work(Fake::Right);
    let opened = work.carry_out(Order::Connect { connections: 2, call: true }).await.expect("it connects");
    assert_eq!((opened.done, work.clients.len()), (2, 2));
    let order = Order::Calls { size: 7, in_flight: 4, millis: 1000 };
    let outcome = work.carry_out(order).await.expect("it echoes");
    assert_eq!((outcome.done, outcome.seconds), (800, 1.0));
    assert_eq!(outcome.latency.expect("there were calls").p99, 10_000.0);
}

#[tokio::test(start_paused = true)]
async fn connections_are_set_up_used_and_closed() {
    let order = Order::Connects { at_a_time: 16, millis: 1000 };
    let outcome = work(Fake::Right).carry_out(order).await.expect("it connects");
    assert_eq!(outcome.done, 16 * 50);
}

#[tokio::test(start_paused = true)]
async fn items_are_counted() {
    let mut work = work(Fake::Right);
    work.carry_out(Order::Connect { connections: 1, call: false }).await.expect("it connects");
    let order = Order::Items { count: 1000, millis: 1000 };
    assert_eq!(work.carry_out(order).await.expect("they come").done, 10_000);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_due_begin_whoever_waits() {
    let order = Order::Arrivals { rate: 10, settle_millis: 1000, millis: 2000 };
    for (fake, slow_share, ends) in [(Fake::Right, 0.0, 2.9), (Fake::Wrong, 1.0, 5.9)] {
        let mut work = work(fake);
        work.clients.push(fake);
        let outcome = work.carry_out(order).await.expect("they are answered");
        assert_eq!((outcome.done, outcome.slow_share), (30, Some(slow_share)));
        assert_eq!(outcome.seconds, ends);
        assert_eq!(outcome.latency.expect("there were calls").p99, 3e6 * slow_share);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_fails_the_round() {
    assert!(work(Fake::Wrong).carry_out(Order::Connect { connections: 1, call: true }).await.is_err());
    let mut work = work(Fake::Short);
    work.carry_out(Order::Connect { connections: 1, call: false }).await.expect("it connects");
    assert!(work.carry_out(Order::Calls { size: 7, in_flight: 1, millis: 10 }).await.is_err());
    assert!(work.carry_out(Order::Items { count: 7, millis: 10 }).await.is_err());
}
