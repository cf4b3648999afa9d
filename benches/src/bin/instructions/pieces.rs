//! What is counted: the pieces that rpcnet names, and those that stand open to everyone.

use std::{hint::black_box, time::Duration};

use rand::{SeedableRng, rngs::SmallRng};
use rpcnet::{
    __measured::Piece,
    balance::{PeakEwma, Picker, Policy},
};
use tokio::time::Instant;

use crate::whole;

const ENDPOINTS: usize = 8;

pub(crate) fn pieces() -> Vec<Piece> {
    let mut pieces = rpcnet::__measured::pieces();
    pieces.push(pick());
    pieces.extend(whole::pieces());
    pieces
}

/// One of eight endpoints, by latency and calls at work; then what is learnt when its call is over.
fn pick() -> Piece {
    let start = Instant::now().into_std();
    let mut loads: Vec<_> = (1..=ENDPOINTS as u64)
        .map(|number| PeakEwma::new(start, Duration::from_micros(100 * number), Duration::from_secs(10)))
        .collect();
    let mut picker = Picker::new(Policy::PeakEwma);
    let mut rng = SmallRng::seed_from_u64(7);
    let mut now = start;
    Piece::new("balance/pick", move || {
        now += Duration::from_micros(50);
        let picked = picker.pick(ENDPOINTS, |index| Some(loads[index].load(now, index % 3)), &mut rng);
        let picked = black_box(picked).expect("all may be picked");
        loads[picked].observe(now, Duration::from_micros(150));
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pieces_have_names_of_their_own() {
        let pieces = pieces();
        let names: HashSet<_> = pieces.iter().map(Piece::name).collect();
        assert_eq!(names.len(), pieces.len());
    }
}
