//! The counted pieces: the ones that rpcnet names, and the ones that are public.

use std::{
    hint::black_box,
    time::{Duration, Instant as At},
};

use rand::{SeedableRng, rngs::SmallRng};
use rpcnet::{
    __measured::Piece,
    balance::{
        HashOptions, Policy,
        core::{Candidates, Layout, PeakEwma, Picker},
    },
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

/// A pick among eight endpoints by latency and calls in flight, then the observation when the call is over.
fn pick() -> Piece {
    let start = Instant::now().into_std();
    let loads = (1..=ENDPOINTS as u64)
        .map(|number| PeakEwma::new(start, Duration::from_micros(100 * number), Duration::from_secs(10)))
        .collect();
    let mut endpoints = Endpoints { loads, now: start };
    let picker = Picker::new(Policy::PeakEwma);
    let layout = Layout::new(Policy::PeakEwma, std::iter::empty(), &HashOptions::default());
    let mut rng = SmallRng::seed_from_u64(7);
    Piece::new("balance/pick", move || {
        endpoints.now += Duration::from_micros(50);
        let now = endpoints.now;
        let picked =
            black_box(picker.pick(&layout, &endpoints, None, &mut rng)).expect("all endpoints take calls");
        endpoints.loads[picked].begin(now);
        endpoints.loads[picked].observe(now, Duration::from_micros(150));
    })
}

struct Endpoints {
    loads: Vec<PeakEwma>,
    now: At,
}

impl Candidates for Endpoints {
    fn len(&self) -> usize {
        self.loads.len()
    }

    fn cost(&self, index: usize) -> Option<f64> {
        Some(self.loads[index].load(self.now, self.pending(index)))
    }

    fn takes_calls(&self, _: usize) -> bool {
        true
    }

    fn pending(&self, index: usize) -> usize {
        index % 3
    }

    fn weight(&self, _: usize) -> f64 {
        1.0
    }
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
