use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

fn addr(index: u8) -> SocketAddr {
    ([10, 77, 0, index], 7500).into()
}

fn known(own: u8, members: &[u8]) -> KnownAddresses {
    KnownAddresses { members: members.iter().copied().map(addr).collect(), own: vec![addr(own)] }
}

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an `Instant` can't be made from a number")]
    Instant::now()
}

fn failure() -> JoinOutcome {
    JoinOutcome::Failed(JoinFailure { reason: "unreachable", text: "did not answer".into() })
}

fn seeds(names: &[&str]) -> JoinSchedule {
    JoinSchedule::new(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

/// Begins a round in which the first name stands for these; all that is dialled at once.
fn round(
    asking: &mut JoinSchedule,
    now: Instant,
    addrs: &[u8],
    known: &KnownAddresses,
) -> BTreeSet<SocketAddr> {
    for (index, _) in asking.begin(now) {
        let addrs = if index == 0 { addrs.iter().copied().map(addr).collect() } else { Vec::new() };
        asking.resolved(index, Ok(addrs), known, &mut StdRng::seed_from_u64(1));
    }
    std::iter::from_fn(|| asking.next(now, known)).map(|dial| dial.addr).collect()
}

#[test]
fn every_address_of_a_name_that_is_no_member_is_asked() {
    let (mut asking, now) = (seeds(&["cluster:7500"]), start());
    // The own one comes first, as a resolver may give it.
    assert_eq!(round(&mut asking, now, &[1, 2, 3], &known(1, &[])), [addr(2), addr(3)].into());
    // The second has become a member; the third is silent, and still being asked.
    asking.answered(addr(2), &JoinOutcome::Peer);
    let now = now + Duration::from_secs(1);
    assert_eq!(round(&mut asking, now, &[1, 2, 3], &known(1, &[2])), [].into());
    asking.answered(addr(3), &failure());
    assert_eq!(round(&mut asking, now, &[1, 2, 3], &known(1, &[2])), [addr(3)].into());
    assert!(asking.is_missing(&known(1, &[2])));
    assert!(!asking.is_missing(&known(1, &[2, 3])));
}

#[test]
fn an_answer_from_oneself_drops_an_address_for_a_round() {
    let (mut asking, now) = (seeds(&["cluster:7500"]), start());
    let unknown = KnownAddresses::default();
    assert_eq!(round(&mut asking, now, &[1, 2], &unknown), [addr(1), addr(2)].into());
    asking.answered(addr(1), &JoinOutcome::Ourselves);
    asking.answered(addr(2), &failure());
    let [(_, state)] = &asking.states(&unknown)[..] else { panic!("one seed") };
    assert!(matches!(state, SeedState::Failing(_)), "{state:?}");
    // Another one may be there by now, and be it a name that had this node's address alone.
    assert_eq!(round(&mut asking, now, &[1], &unknown), [addr(1)].into());
    asking.answered(addr(1), &JoinOutcome::Ourselves);
    assert_eq!(asking.states(&unknown)[0].1, SeedState::Ours);
    assert_eq!(round(&mut asking, now, &[1, 3], &unknown), [addr(1), addr(3)].into());
}

#[test]
fn a_name_that_does_not_resolve_any_more_keeps_its_addresses() {
    let (mut asking, now, known) = (seeds(&["cluster:7500"]), start(), known(1, &[]));
    assert_eq!(round(&mut asking, now, &[2], &known), [addr(2)].into());
    asking.answered(addr(2), &failure());
    let gone = JoinFailure { reason: "unresolvable", text: "\"cluster:7500\" does not resolve".into() };
    for (index, name) in asking.begin(now) {
        assert_eq!(name, "cluster:7500");
        asking.resolved(index, Err(gone.clone()), &known, &mut StdRng::seed_from_u64(1));
    }
    assert_eq!(asking.next(now, &known).map(|dial| dial.addr), Some(addr(2)));
    assert_eq!(asking.states(&known)[0].1, SeedState::Failing(gone));
}

#[test]
fn an_address_that_nobody_can_have_is_a_failure_and_not_dialled() {
    let (mut asking, now, known) = (seeds(&["cluster:7500"]), start(), KnownAddresses::default());
    for (index, _) in asking.begin(now) {
        let any = vec!["0.0.0.0:7500".parse().expect("an address")];
        asking.resolved(index, Ok(any), &known, &mut StdRng::seed_from_u64(1));
    }
    assert_eq!(asking.next(now, &known), None);
    let SeedState::Failing(failure) = &asking.states(&known)[0].1 else { panic!("it is of no use") };
    assert!(failure.text.starts_with("0.0.0.0:7500 stands for all addresses"), "{}", failure.text);
}

#[test]
fn silent_addresses_hold_up_no_other() {
    let (mut asking, now, known) = (seeds(&["cluster:7500"]), start(), KnownAddresses::default());
    let all: Vec<u8> = (1..=OF_A_NAME as u8).collect();
    let mut asked = round(&mut asking, now, &all, &known);
    assert_eq!(asked.len(), AT_ONCE);
    let mut at = now;
    while let Some(slot) = asking.slot(at) {
        assert!(slot >= at);
        at = slot;
        asked.extend(std::iter::from_fn(|| asking.next(at, &known)).map(|dial| dial.addr));
    }
    // None has answered.
    assert_eq!(asked.len(), all.len());
    assert!(at - now <= STAGGER * (all.len() / AT_ONCE) as u32);
    // One that answered goes first in the next round.
    asked.iter().for_each(|addr| asking.answered(*addr, &failure()));
    asking.answered(addr(40), &JoinOutcome::Peer);
    assert!(round(&mut asking, at, &all, &known).contains(&addr(40)));
}

#[test]
fn a_large_name_gets_all_its_addresses_asked_in_their_turn() {
    let (mut asking, now, known) = (seeds(&["cluster:7500"]), start(), KnownAddresses::default());
    let all: Vec<u8> = (0..=255).collect();
    let mut asked = BTreeSet::new();
    for minute in 0..4u32 {
        let mut at = now + Duration::from_secs(60) * minute;
        let mut now_asked = round(&mut asking, at, &all, &known);
        while let Some(slot) = asking.slot(at) {
            at = slot;
            now_asked.extend(std::iter::from_fn(|| asking.next(at, &known)).map(|dial| dial.addr));
        }
        assert!(now_asked.len() <= OF_A_NAME);
        now_asked.iter().for_each(|addr| asking.answered(*addr, &failure()));
        asked.extend(now_asked);
    }
    assert_eq!(asked.len(), all.len());
}

#[test]
fn a_rival_is_looked_for_at_the_own_address() {
    let (mut asking, now, known) = (seeds(&[]), start(), known(1, &[2]));
    asking.also(addr(1), DialReason::Rival);
    asking.also(addr(2), DialReason::Join);
    asking.also(addr(3), DialReason::Join);
    let asked: Vec<_> = std::iter::from_fn(|| asking.next(now, &known)).map(|dial| dial.addr).collect();
    assert_eq!(asked, [addr(1), addr(3)]);
}

proptest! {
    /// However names change, and whatever becomes of dials: an address is never dialled twice at a time, members and this
    /// node itself never, and the bounds hold.
    #[test]
    fn dials_are_bounded(
        seed in any::<u64>(),
        steps in proptest::collection::vec((0..4u8, proptest::collection::vec(any::<u8>(), 0..100)), 1..60),
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut asking = seeds(&["a:7500", "b:7500"]);
        let mut now = start();
        let mut known = known(1, &[]);
        let mut under_way = Vec::new();
        for (step, addrs) in steps {
            match step {
                0 => {
                    for (index, _) in asking.begin(now) {
                        let addrs = addrs.iter().map(|index| addr(*index)).collect();
                        asking.resolved(index, Ok(addrs), &known, &mut rng);
                    }
                }
                1 => known.members = addrs.iter().map(|index| addr(*index)).collect(),
                2 => {
                    let answers = [JoinOutcome::Peer, JoinOutcome::Ourselves, failure()];
                    for (index, addr) in under_way.drain(..addrs.len().min(under_way.len())).enumerate() {
                        asking.answered(addr, &answers[index % 3]);
                    }
                }
                _ => now += Duration::from_millis(100),
            }
            while let Some(dial) = asking.next(now, &known) {
                prop_assert!(!under_way.contains(&dial.addr));
                prop_assert!(!known.is_known(dial.addr));
                under_way.push(dial.addr);
            }
            prop_assert!(under_way.len() <= UNDER_WAY);
            prop_assert!(asking.seeds.iter().all(|seed| seed.addrs.len() <= MAX_ADDRESSES));
            if let Some(slot) = asking.slot(now) {
                prop_assert!(slot > now, "it could be used now");
            }
        }
    }
}
