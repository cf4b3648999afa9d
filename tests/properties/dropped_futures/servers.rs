//! Servers: running, and the way down.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpcnet::{ProtocolFuture, ProtocolHandler, ServerError, transport::Connection};
use rpcnet_tests::{Net, over_both, shared_ca, within};
use tokio::time::sleep;

use super::{
    place::{Place, ShapesClient, bound},
    points::at_each,
};

over_both!(
    running,
    running_until_told,
    taking_nothing_new,
    waiting_for_what_is_in_flight,
    shutting_down,
    waiting_for_the_end_of_a_server,
);

async fn running(net: Net) {
    at_each(async |point| {
        let (server, _contexts) = bound(net.server());
        let stopping = async {
            tokio::task::yield_now().await;
            if point.is_polled() {
                server.shutdown().await.expect("no reason to fail");
            }
        };
        let (ran, ()) = tokio::join!(point.drops(server.run()), stopping);
        if !point.is_polled() {
            // It does not run, and can.
            rpcnet_tests::run(&server);
            let client = ShapesClient::new(within(net.connect(&server)).await);
            assert_eq!(within(client.double(21)).await.expect("it runs"), 42);
        } else {
            within(server.closed()).await;
        }
        ran.is_some_and(|ran| ran.is_ok())
    })
    .await;

    // A server whose `run` is dropped goes on: it is a wait for its end.
    let (server, _contexts) = bound(net.server());
    assert!(tokio::time::timeout(Duration::from_millis(20), server.run()).await.is_err());
    let client = ShapesClient::new(within(net.connect(&server)).await);
    assert_eq!(within(client.double(21)).await.expect("it runs"), 42);
}

/// A protocol that takes its time to say goodbye; how often it has.
#[derive(Default)]
struct Slow(AtomicUsize);

impl ProtocolHandler for Slow {
    fn accept(&self, _: Connection) -> ProtocolFuture<'static> {
        Box::pin(ready(()))
    }

    fn shutdown(&self) -> ProtocolFuture<'_> {
        Box::pin(async {
            for _ in 0..3 {
                sleep(Duration::from_millis(2)).await;
            }
            self.0.fetch_add(1, Ordering::Relaxed);
        })
    }
}

async fn running_until_told(net: Net) {
    at_each(async |point| {
        let mut place = Place::new(&net).await;
        let slow = Arc::new(Slow::default());
        place.server.handle_protocol(b"slow/1", slow.clone()).expect("the first of its name");
        let call = tokio::spawn(place.client.hang());
        within(place.contexts.recv()).await.expect("the service stands");
        let giving_up = async {
            sleep(Duration::from_millis(5)).await;
            call.abort();
        };
        let (ran, ()) = tokio::join!(point.drops(place.server.run_until(ready(()))), giving_up);
        // The next caller of `run_until` completes it.
        within(place.server.run_until(ready(()))).await.or_else(closed).expect("no reason to fail");
        within(place.server.closed()).await;
        assert_eq!(slow.0.load(Ordering::Relaxed), 1, "it said goodbye");
        ran.is_some_and(|ran| ran.is_ok())
    })
    .await;
}

fn closed(error: ServerError) -> Result<(), ServerError> {
    if matches!(error, ServerError::Closed) { Ok(()) } else { Err(error) }
}

async fn taking_nothing_new(net: Net) {
    at_each(async |point| {
        let place = Place::new(&net).await;
        let stopped = point.drops(place.server.stop_accepting()).await.is_some();
        let answer = within(place.client.double(21)).await;
        // All or nothing.
        assert_eq!(answer.is_err(), stopped, "{answer:?}");
        assert_eq!(place.server.readiness().ready, !stopped);
        stopped
    })
    .await;
}

async fn waiting_for_what_is_in_flight(net: Net) {
    let mut place = Place::new(&net).await;
    at_each(async |point| {
        let call = tokio::spawn(place.client.hang());
        within(place.contexts.recv()).await.expect("the service stands");
        let giving_up = async {
            tokio::task::yield_now().await;
            call.abort();
        };
        let (idle, ()) = tokio::join!(point.drops(place.server.wait_for_in_flight()), giving_up);
        within(place.server.wait_for_in_flight()).await;
        assert_eq!(place.server.in_flight(), 0);
        place.works().await;
        idle.is_some()
    })
    .await;
}

async fn shutting_down(net: Net) {
    at_each(async |point| {
        let mut place = Place::new(&net).await;
        let slow = Arc::new(Slow::default());
        place.server.handle_protocol(b"slow/1", slow.clone()).expect("the first of its name");
        // A call that is at work is waited for, for a second, of which there is plenty in memory alone.
        let call = matches!(net, Net::Memory(_)).then(|| tokio::spawn(place.client.hang()));
        if call.is_some() {
            within(place.contexts.recv()).await.expect("the service stands");
        }
        let down = point.drops(place.server.shutdown()).await;
        if !point.is_polled() {
            place.works_anew().await;
        }
        // The next caller of `run_until` completes it.
        within(place.server.shutdown()).await.expect("no reason to fail");
        within(place.server.closed()).await;
        assert_eq!(slow.0.load(Ordering::Relaxed), 1, "it said goodbye");
        if let Some(call) = call {
            within(call).await.expect("no panic").expect_err("it was cut off");
        }
        assert_eq!(place.server.in_flight(), 0);
        down.is_some()
    })
    .await;
}

async fn waiting_for_the_end_of_a_server(net: Net) {
    at_each(async |point| {
        let place = Place::new(&net).await;
        let stopping = async {
            tokio::task::yield_now().await;
            place.server.shutdown().await.expect("no reason to fail");
        };
        let (ended, ()) = tokio::join!(point.drops(place.server.closed()), stopping);
        within(place.server.closed()).await;
        ended.is_some()
    })
    .await;
}

#[tokio::test]
async fn certificates_are_exchanged_or_are_not() {
    let net = Net::Quic(Arc::new(rpcnet::dev::DevCa::generate().expect("a CA")));
    let Net::Quic(ca) = &net else { unreachable!("it was just made") };
    let other = shared_ca();
    let place = Place::new(&net).await;
    let both = format!("{}{}", ca.ca_pem(), other.ca_pem());
    at_each(async |point| {
        let cert = ca.issue("another").expect("a certificate");
        let certificate = point.drops(place.server.reload_certificate(&cert.cert, &cert.key)).await;
        let trust = point.drops(place.server.reload_ca_cert(&both)).await;
        let channels = point.drops(place.channel.reload_ca_cert(&both)).await;
        let own = point.drops(place.channel.reload_certificate(&cert.cert, &cert.key)).await;
        place.works().await;
        place.works_anew().await;
        let done = [certificate.map(|done| done.is_ok()), trust.map(|done| done.is_ok())];
        let on_channel = [channels.map(|done| done.is_ok()), own.map(|done| done.is_ok())];
        done.into_iter().chain(on_channel).all(|done| done == Some(true))
    })
    .await;
}
