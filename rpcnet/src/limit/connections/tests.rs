use std::{cell::Cell, rc::Rc};

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A guest whose idle time the test sets.
#[derive(Debug, Clone)]
struct Client(Rc<Cell<Option<Instant>>>);

impl Guest for Client {
    fn idle_since(&self) -> Option<Instant> {
        self.0.get()
    }
}

fn client(since: Option<Instant>) -> Client {
    Client(Rc::new(Cell::new(since)))
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn admit(
    connections: &Connections<Client>,
    name: &str,
    last: u8,
    reserved: bool,
    now: Instant,
) -> Result<ConnectionSlot<Client>, ConnectionRefused> {
    let (admitted, place) = connections.admit(name, address(last), reserved, now)?;
    assert!(place.leave.is_empty() && place.close.is_empty());
    Ok(admitted)
}

#[test]
fn in_all_and_of_one_peer() {
    let connections = Connections::new(Bounds { total: 3, per_peer: 2 });
    let now = start();
    let first = admit(&connections, "a", 1, false, now).expect("room");
    let _second = admit(&connections, "a", 1, false, now).expect("room");
    assert_eq!(admit(&connections, "a", 1, false, now).expect_err("full"), ConnectionRefused::Peer(2));
    let _other = admit(&connections, "a", 2, false, now).expect("another address is another peer");
    assert_eq!(admit(&connections, "b", 1, false, now).expect_err("full"), ConnectionRefused::Total(3));
    drop(first);
    admit(&connections, "b", 1, false, now).expect("room again");
}

#[test]
fn a_part_is_kept_for_others() {
    let connections = Connections::new(Bounds { total: 16, per_peer: 8 });
    let now = start();
    let admit = |name, reserved| admit(&connections, name, 1, reserved, now);
    let mut held: Vec<_> = (0..7).map(|_| admit("a", true).expect("room")).collect();
    assert_eq!(admit("a", true).expect_err("kept"), ConnectionRefused::Peer(7));
    held.push(admit("a", false).expect("the reserve is for this"));
    held.extend((0..6).map(|_| admit("b", true).expect("room")));
    assert_eq!(admit("b", true).expect_err("kept"), ConnectionRefused::Total(14));
    held.extend((0..2).map(|_| admit("b", false).expect("the reserve is for this")));
    assert_eq!(admit("c", false).expect_err("full"), ConnectionRefused::Total(16));
}

#[test]
fn the_reason_says_what_to_raise() {
    assert!(ConnectionRefused::Total(1).to_string().contains("(with_max_connections)"));
    assert!(ConnectionRefused::Peer(1).to_string().contains("(with_max_connections_per_peer)"));
}

#[test]
fn the_one_that_was_idle_longest_goes() {
    let connections = Connections::new(Bounds { total: 100, per_peer: 3 });
    let now = start() + 1000 * MS;
    let idle = [now - 300 * MS, now - 500 * MS, now - 400 * MS].map(|since| client(Some(since)));
    let held: Vec<_> = idle
        .iter()
        .map(|client| {
            let admitted = admit(&connections, "a", 1, true, now).expect("room");
            admitted.is_of(client.clone());
            admitted
        })
        .collect();
    let (_new, place) = connections.admit("a", address(1), true, now).expect("one connection leaves");
    let [(leaves, ConnectionRefused::Peer(3))] = &place.leave[..] else {
        panic!("one goes, for its peer's bound")
    };
    assert!(Rc::ptr_eq(&leaves.0, &idle[1].0) && place.close.is_empty());
    // The connection with a call in flight stays, and so does the one that was used a moment ago.
    idle[2].0.set(None);
    let (_newer, place) = connections.admit("a", address(1), true, now).expect("one connection leaves");
    assert!(Rc::ptr_eq(&place.leave[0].0.0, &idle[0].0));
    idle[2].0.set(Some(now - 99 * MS));
    assert_eq!(
        connections.admit("a", address(1), true, now).expect_err("none is idle"),
        ConnectionRefused::Peer(3)
    );
    let (_newest, place) =
        connections.admit("a", address(1), true, now + MS).expect("it is idle for long enough");
    assert!(Rc::ptr_eq(&place.leave[0].0.0, &idle[2].0));
    drop(held);
}

#[test]
fn those_that_do_not_go_are_closed() {
    let connections = Connections::new(Bounds { total: 1, per_peer: 1 });
    let now = start() + 1000 * MS;
    let mut held = Vec::new();
    let mut clients = Vec::new();
    // Each connection is asked to leave for the next one, but none leaves.
    for count in 0..10 {
        let (admitted, place) = match connections.admit("a", address(1), false, now) {
            Ok(admitted) => admitted,
            Err(refused) => {
                assert_eq!(
                    (count, refused),
                    (9, ConnectionRefused::Peer(1)),
                    "as many as may be are on their way"
                );
                break;
            }
        };
        assert!(place.close.is_empty());
        assert_eq!(place.leave.len(), usize::from(count > 0));
        let client = client(Some(now - 1000 * MS));
        admitted.is_of(client.clone());
        clients.push(client);
        held.push(admitted);
    }
    // The first one was asked long enough ago, but has a call in flight.
    clients[0].0.set(None);
    let (_new, place) = connections.admit("a", address(1), false, now + NOTICE).expect("one is closed");
    assert!(place.close.len() == 1 && !Rc::ptr_eq(&place.close[0].0, &clients[0].0));
    drop(held);
}

#[derive(Debug, Clone)]
enum Step {
    Comes { who: u8, reserved: bool, idle: bool },
    Goes(usize),
    Works(usize),
    Rests(usize),
    Passes(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..3, any::<bool>(), any::<bool>()).prop_map(|(who, reserved, idle)| Step::Comes { who, reserved, idle }),
        1 => any::<usize>().prop_map(Step::Goes),
        1 => any::<usize>().prop_map(Step::Works),
        1 => any::<usize>().prop_map(Step::Rests),
        2 => any::<u8>().prop_map(Step::Passes),
    ]
}

proptest! {
    /// For any sequence of events: the number of standing connections stays within the bounds, and only few more are
    /// leaving. Only idle connections are asked to leave. None is refused if one is idle and another one may leave. In
    /// the end the table is empty.
    #[test]
    fn bounds_hold(steps in prop::collection::vec(step(), 0..200)) {
        let (total, per_peer) = (9, 4);
        let connections = Connections::new(Bounds { total, per_peer });
        let mut held: Vec<(ConnectionSlot<Client>, Client, u8, bool)> = Vec::new();
        let mut now = start() + 1000 * MS;
        for step in steps {
            match step {
                Step::Comes { who, reserved, idle } => {
                    let counts = |table: &ConnectionTable<Client>| (table.all.standing.len(), table.all.leaving.len());
                    let before = counts(&lock(&connections.table));
                    match connections.admit("peer", address(who), reserved, now) {
                        Ok((admitted, place)) => {
                            for (guest, _) in &place.leave {
                                prop_assert!(guest.idle_since().is_some_and(|since| since + IDLE <= now));
                                let told = held.iter_mut().find(|(_, client, ..)| Rc::ptr_eq(&client.0, &guest.0));
                                let told = told.expect("it stands");
                                prop_assert!(!told.3, "it was asked once");
                                told.3 = true;
                            }
                            for guest in &place.close {
                                prop_assert!(guest.idle_since().is_some());
                                let told = held.iter().position(|(_, client, ..)| Rc::ptr_eq(&client.0, &guest.0));
                                let told = held.remove(told.expect("it is there"));
                                prop_assert!(told.3, "it was asked before");
                            }
                            let client = client(idle.then_some(now));
                            admitted.is_of(client.clone());
                            held.push((admitted, client, who, false));
                        }
                        Err(refused) => {
                            prop_assert_eq!(counts(&lock(&connections.table)), before, "a refusal changes nothing");
                            let is_idle = |place: &&(ConnectionSlot<Client>, Client, u8, bool)| {
                                let since = place.1.idle_since().filter(|_| !place.3);
                                since.is_some_and(|since| since + IDLE <= now)
                            };
                            let idle = match refused {
                                ConnectionRefused::Peer(_) => held.iter().filter(|place| place.2 == who).any(|place| is_idle(&place)),
                                // If the peer's bound is reached as well, two connections have to leave.
                                ConnectionRefused::Total(_) => held.iter().filter(is_idle).count() > 1,
                            };
                            let leaving = held.iter().filter(|place| place.3).count();
                            prop_assert!(!idle || leaving >= leaving_at_most(1), "one could have gone");
                        }
                    }
                }
                Step::Goes(which) if !held.is_empty() => drop(held.swap_remove(which % held.len())),
                Step::Works(which) if !held.is_empty() => held[which % held.len()].1.0.set(None),
                Step::Rests(which) if !held.is_empty() => held[which % held.len()].1.0.set(Some(now)),
                Step::Passes(millis) => now += u32::from(millis) * MS,
                _ => {}
            }
            let table = lock(&connections.table);
            let standing = held.iter().filter(|place| !place.3).count();
            prop_assert_eq!(table.all.standing.len(), standing);
            prop_assert_eq!(table.all.leaving.len(), held.len() - standing);
            prop_assert!(standing <= total && table.all.leaving.len() <= leaving_at_most(total));
            prop_assert_eq!(table.places.len(), held.len());
            prop_assert_eq!(table.peers.values().map(|ids| ids.standing.len()).sum::<usize>(), standing);
            prop_assert!(table.peers.values().all(|ids| ids.standing.len() <= per_peer));
            prop_assert!(table.peers.values().all(|ids| ids.standing.len() + ids.leaving.len() > 0));
        }
        held.clear();
        let table = lock(&connections.table);
        prop_assert!(table.places.is_empty() && table.peers.is_empty());
    }
}
