//! Random scripts, and the search for the shortest one that still fails.

use std::{fmt, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IteratorRandom};

use super::{
    check::Violation,
    network::Fault,
    operation::{Operation, Script},
    simulation::Simulation,
};
use crate::swim::Config;

/// The time within which random operations begin. Faults may last longer.
const SPAN: Duration = Duration::from_secs(60);
/// The time that agreement has to last.
const CALM: Duration = Duration::from_secs(20);
/// The interval at which all nodes are checked for agreement.
const LOOK: Duration = Duration::from_millis(50);
/// The most simulations that the search for a shorter script may take.
const SHRINKING: usize = 400;

/// A cluster, a script for it, and the check that its nodes come to agree again.
///
/// A trial starts its nodes, plays its script, and then must reach agreement within a bound, the sum of:
///
/// - SWIM's 2n − 1 probe periods and a suspicion, for members that are still to be found down;
/// - n intervals of announcing to members that are down, and one of asking seeds;
/// - three intervals of anti-entropy.
///
/// If no seed lives at the end, nodes that were started meanwhile can't find the others. Then only the checkers of the
/// [`Simulation`] count.
///
/// ```
/// use rpcnet_cluster::testing::Trial;
///
/// match Trial::random(7).run_and_shrink() {
///     Ok(took) => println!("all nodes agreed {took:?} after the last fault"),
///     Err(failure) => panic!("{failure}"),
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Trial {
    /// The seed of network and nodes.
    pub seed: u64,
    /// The number of nodes that are started at the beginning.
    pub nodes: usize,
    /// The number of seeds: the first nodes are the seeds.
    pub seeds: usize,
    /// True if each life of a node has an id of its own.
    pub fresh_ids: bool,
    /// The configuration of all nodes.
    pub config: Config,
    /// The operations on the nodes.
    pub script: Script,
}

/// A trial that failed.
#[derive(Clone, Debug)]
pub struct TrialFailure {
    /// The trial with the shortest script that was found to fail in the same way.
    pub trial: Trial,
    /// The rule that the trial breaks.
    pub violation: Violation,
}

impl Trial {
    /// The trial of this seed: three to seven nodes of [`Config::new_lan`], and two to sixteen operations.
    pub fn random(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes = rng.random_range(3..=7);
        let seeds = rng.random_range(1..=nodes.min(3));
        let fresh_ids = rng.random_bool(0.3);
        let mut script = Script::new();
        for _ in 0..rng.random_range(2..=16) {
            let at = Duration::from_millis(rng.random_range(0..SPAN.as_millis() as u64));
            script = script.at(at, random_operation(&mut rng, nodes));
        }
        Self { seed, nodes, seeds, fresh_ids, config: Config::new_lan(), script }
    }

    /// Runs the trial. Returns the time after the last fault in which the nodes agreed.
    ///
    /// # Errors
    ///
    /// [`Violation`]: a checker found a broken rule, or the nodes did not agree in time, or the agreement did not last
    /// 20 s.
    pub fn run(&self) -> Result<Duration, Violation> {
        let mut simulation = Simulation::new(self.seed, self.config.clone())
            .with_seeds(0..self.seeds)
            .with_fresh_ids(self.fresh_ids);
        for node in 0..self.nodes {
            simulation.start(node);
        }
        simulation.play(&self.script);
        simulation.run_for(self.script.end() + Duration::from_millis(1));
        let seed_lives =
            (0..self.seeds).any(|seed| simulation.node(seed).is_some_and(|node| !node.has_left()));
        let took = if seed_lives {
            agreement(&mut simulation, self.config.converges_within(self.nodes))
        } else {
            Some(Duration::ZERO)
        };
        if took.is_some() {
            simulation.run_for(CALM);
        }
        if let Some(violation) = simulation.violation() {
            return Err(violation.clone());
        }
        match simulation.disagreement() {
            Some(disagreement) if seed_lives => Err(Violation::apart(simulation.now(), disagreement)),
            _ => Ok(took.unwrap_or_default()),
        }
    }

    /// Runs the trial. If it fails, looks for the shortest script that fails in the same way, by leaving operations
    /// out.
    ///
    /// # Errors
    ///
    /// [`TrialFailure`], with that script.
    pub fn run_and_shrink(mut self) -> Result<Duration, Box<TrialFailure>> {
        let violation = match self.run() {
            Ok(took) => return Ok(took),
            Err(violation) => violation,
        };
        let run = |script: &Script| Self { script: script.clone(), ..self.clone() }.run().err();
        let (script, violation) = shrink(self.script.clone(), violation, run);
        self.script = script;
        Err(Box::new(TrialFailure { trial: self, violation }))
    }
}

/// Leaves operations out, first many at a time, as long as the remaining ones fail in the same way.
fn shrink(
    mut script: Script,
    mut violation: Violation,
    run: impl Fn(&Script) -> Option<Violation>,
) -> (Script, Violation) {
    let mut left = SHRINKING;
    let mut chunk = script.operations().len().div_ceil(2);
    while chunk > 0 {
        let mut place = 0;
        let mut shorter = false;
        while place < script.operations().len() && left > 0 {
            left -= 1;
            let end = (place + chunk).min(script.operations().len());
            let candidate = script.without(place..end);
            match run(&candidate) {
                Some(found) if found.is_like(&violation) => {
                    (script, violation, shorter) = (candidate, found, true);
                }
                _ => place = end,
            }
        }
        // Tries the smallest size once more: an operation that was needed may not be needed any more.
        chunk = if chunk == 1 && shorter && left > 0 { 1 } else { chunk / 2 };
    }
    (script, violation)
}

/// The time until all nodes agree. Looks only now and then, because a look takes longer than a step.
fn agreement(simulation: &mut Simulation, limit: Duration) -> Option<Duration> {
    let start = simulation.now();
    while simulation.violation().is_none() && simulation.now() - start <= limit {
        if simulation.agrees() {
            return Some(simulation.now() - start);
        }
        simulation.run_for(LOOK);
    }
    None
}

impl fmt::Display for TrialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trial { seed, nodes, seeds, fresh_ids, script, .. } = &self.trial;
        writeln!(f, "seed {seed}: {}", self.violation)?;
        writeln!(
            f,
            "{nodes} nodes, the first {seeds} of them seeds, fresh ids: {fresh_ids}; the shortest script:"
        )?;
        script.fmt(f)
    }
}

impl std::error::Error for TrialFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.violation)
    }
}

fn random_operation(rng: &mut StdRng, nodes: usize) -> Operation {
    let node = rng.random_range(0..nodes);
    let other = (node + rng.random_range(1..nodes)) % nodes;
    let key = ["role", "zone"][rng.random_range(0..2)].to_owned();
    let mut share = |most: u32| f64::from(rng.random_range(1..=most)) / 100.0;
    let (loss, part) = (share(40), share(50));
    let mut millis = |most: u64| Duration::from_millis(rng.random_range(100..most));
    let (brief, long, delay) = (millis(30_000), millis(90_000), millis(500));
    let fault = |fault, lasting| Operation::Fault { fault, lasting };
    match rng.random_range(0..23) {
        0..3 => Operation::Start { node, remembering: rng.random_bool(0.5) },
        3..5 => Operation::Crash(node),
        5 => Operation::Leave(node),
        6..8 => Operation::SetTag { node, key, value: rng.random_range(0..100).to_string() },
        8 => Operation::RemoveTag { node, key },
        9 => Operation::Forward { node, by: long },
        10 => Operation::Back { node, by: long * 60 },
        11 => fault(Fault::Latency { least: delay / 5, most: delay }, brief),
        12 => fault(Fault::Loss(loss), long),
        13 => fault(Fault::Duplication(part), long),
        14 => fault(Fault::Reordering { share: part, by: delay * 4 }, long),
        15 => fault(Fault::Cut { from: node, to: other }, long),
        16..18 => {
            let size = rng.random_range(1..nodes);
            let mut side = (0..nodes).sample(rng, size);
            side.sort_unstable();
            fault(Fault::Partition(vec![side]), long)
        }
        18 => fault(Fault::Pause(node), brief),
        19 => fault(Fault::Block(node), brief),
        20..22 => Operation::Broadcast { node, key, value: rng.random_range(0..100).to_string() },
        _ => Operation::Withdraw { node, key },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough seeds to find a broken rule within a minute. The binary `simulate` runs any number.
    const SEEDS: u64 = 200;

    #[test]
    fn random_faults_break_no_rule() {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get) as u64;
        let failures: Vec<_> = std::thread::scope(|scope| {
            let run = |first| {
                (first..=SEEDS)
                    .step_by(threads as usize)
                    .filter_map(|seed| Trial::random(seed).run_and_shrink().err())
            };
            let workers: Vec<_> =
                (1..=threads).map(|first| scope.spawn(move || run(first).collect::<Vec<_>>())).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        let text: Vec<_> = failures.iter().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{} of {SEEDS} seeds fail:\n{}", failures.len(), text.join("\n"));
    }

    #[test]
    fn a_seed_replays_all() {
        let run = || {
            let trial = Trial::random(11);
            let mut simulation = Simulation::cluster(trial.seed, trial.config.clone(), trial.nodes);
            simulation.play(&trial.script);
            simulation.run_for(Duration::from_secs(100));
            (simulation.events().to_vec(), simulation.world().sent(0))
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn a_failing_script_shrinks_to_what_is_needed() {
        let text = |script: &Script| script.to_string();
        let script = "\
500ms tag 1 role worker
1000ms loss 0.1 for 20000ms
5000ms crash 2
6000ms cut 0 1 for 10000ms
7000ms leave 0
9000ms start 2
";
        let broken = || Violation::apart(Duration::ZERO, String::new());
        let fails = |script: &Script| {
            let needed = ["crash 2", "start 2"].into_iter().all(|line| text(script).contains(line));
            needed.then(broken)
        };
        let (shortest, _) = shrink(script.parse().unwrap(), broken(), fails);
        assert_eq!(text(&shortest), "5000ms crash 2\n9000ms start 2\n");
    }
}
