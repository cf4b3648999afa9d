//! Consistent hashing: the keys that move, and the load of the fullest worker.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rpcnet::balance::{
    HashOptions, Policy,
    core::{Candidates, Layout, Picker, hash_key},
};
use rpcnet_benches::{Failure, Row};

use super::target;

pub(crate) const PREFIX: &str = "routing/hash/";

const KEYS: u64 = 100_000;

/// Workers that all take calls, each with its number of calls in flight.
struct Workers(Vec<usize>);

impl Candidates for Workers {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn cost(&self, index: usize) -> Option<f64> {
        Some(self.0[index] as f64)
    }

    fn takes_calls(&self, _: usize) -> bool {
        true
    }

    fn pending(&self, index: usize) -> usize {
        self.0[index]
    }

    fn weight(&self, _: usize) -> f64 {
        1.0
    }
}

fn layout(count: usize, options: &HashOptions) -> Layout {
    let ids: Vec<_> = (0..count).map(|index| format!("worker-{index}")).collect();
    Layout::new(Policy::ConsistentHash, ids.iter().map(String::as_str), options)
}

pub(crate) fn measure() -> Result<Vec<Row>, Failure> {
    let mut rng = StdRng::seed_from_u64(11);
    let options = HashOptions::default();
    let picker = Picker::new(Policy::ConsistentHash);
    let keys: Vec<u64> = (0..KEYS).map(|key| hash_key(&key.to_be_bytes())).collect();
    let place = |count: usize, rng: &mut StdRng| -> Vec<usize> {
        let (layout, workers) = (layout(count, &options), Workers(vec![0; count]));
        let pick = |key: &u64| picker.pick(&layout, &workers, Some(*key), rng).expect("all take calls");
        keys.iter().map(pick).collect()
    };
    let (ten, eleven) = (place(10, &mut rng), place(11, &mut rng));
    let moved = ten.iter().zip(&eleven).filter(|(before, after)| before != after).count();
    let elsewhere =
        ten.iter().zip(&eleven).filter(|(before, after)| before != after && **after != 10).count();
    // Some keys are far more frequent than others, and calls end one by one.
    let (layout, mut workers) = (layout(10, &options), Workers(vec![0; 10]));
    let mut at_work = Vec::new();
    let mut fullest: f64 = 0.0;
    for _ in 0..KEYS {
        let key = keys[(KEYS as f64 * rng.random::<f64>().powi(6)) as usize];
        let index = picker.pick(&layout, &workers, Some(key), &mut rng).expect("all take calls");
        workers.0[index] += 1;
        at_work.push(index);
        if at_work.len() > 1000 {
            // Measured when the worker was given a call: calls that end at other workers lower the mean afterwards.
            fullest = fullest.max(workers.0[index] as f64 / (at_work.len() as f64 / 10.0));
            let ended = at_work.swap_remove(rng.random_range(0..at_work.len()));
            workers.0[ended] -= 1;
        }
    }
    let id = |name: &str| format!("{PREFIX}{name}");
    let share = moved as f64 / KEYS as f64 * 11.0;
    Ok(vec![
        Row::new(id("moved-vs-one-eleventh"), share, "ratio").with_target(target("<=1.2")),
        Row::new(id("moved-at-least"), share, "ratio").with_target(target(">=0.8")),
        Row::new(id("moved-between-old-ones"), elsewhere as f64, "keys").with_target(target("==0")),
        Row::new(id("fullest-vs-mean"), fullest, "ratio").with_target(target("<=1.25")),
    ])
}
