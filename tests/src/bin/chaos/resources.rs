//! Memory and descriptors of all processes, once a second.

use std::{collections::BTreeMap, fmt, fs, sync::Arc, time::Duration};

use rpcnet_benches::Memory;
use tokio::{sync::watch, task::JoinHandle, time::interval};

use crate::stage::Stage;

/// The interval between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// The age at which a process has the resources that it should have at the end. It has had its first large bodies by
/// then.
const SETTLED: Duration = Duration::from_secs(5);

/// In a shorter life the first calls of each kind tell more than a slope.
const LONG: Duration = Duration::from_secs(60);

/// The runner's name in reports.
pub(crate) const RUNNER: &str = "runner";

/// A look at one process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Since the beginning of the run.
    pub(crate) at: Duration,
    /// Resident, in MiB.
    pub(crate) memory: f64,
    /// Of the runner without the sockets of its proxies, which come and go with those who dial.
    pub(crate) descriptors: usize,
}

/// All looks, by the name of the life.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<String, Vec<Sample>>);

/// The growth of one process between its youth and the end of the run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Growth {
    pub(crate) life: String,
    /// In MiB.
    pub(crate) memory: f64,
    /// Over the second half of its life, in MiB a minute; `None` where that was short.
    pub(crate) slope: Option<f64>,
    pub(crate) descriptors: i64,
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { life, memory, slope, descriptors } = self;
        write!(f, "{life}: {memory:.1} MiB, {descriptors} descriptors")?;
        match slope {
            Some(slope) => write!(f, ", {slope:.1} MiB/min in the second half"),
            None => Ok(()),
        }
    }
}

impl Samples {
    /// Of those that live in the end, and have lived for so long at least.
    pub(crate) fn growths(&self, least: Duration, end: Duration) -> Vec<Growth> {
        let alive = self.0.iter().filter(|(_, samples)| {
            let ages = samples.first().zip(samples.last());
            ages.is_some_and(|(first, last)| last.at + EVERY * 3 >= end && last.at - first.at >= least)
        });
        alive.filter_map(|(life, samples)| growth(life, samples)).collect()
    }
}

fn growth(life: &str, samples: &[Sample]) -> Option<Growth> {
    let (first, last) = (samples.first()?, samples.last()?);
    let young = samples.iter().find(|sample| sample.at - first.at >= SETTLED)?;
    Some(Growth {
        life: life.to_owned(),
        memory: last.memory - young.memory,
        slope: (last.at - first.at >= LONG).then(|| slope(&samples[samples.len() / 2..])),
        descriptors: last.descriptors as i64 - young.descriptors as i64,
    })
}

/// Least squares, in MiB a minute; zero of fewer than two samples.
fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let minutes = |sample: &Sample| sample.at.as_secs_f64() / 60.0;
    let mean_time = samples.iter().map(minutes).sum::<f64>() / count;
    let mean_memory = samples.iter().map(|sample| sample.memory).sum::<f64>() / count;
    let (mut along, mut square) = (0.0, 0.0);
    for sample in samples {
        let off = minutes(sample) - mean_time;
        along += off * (sample.memory - mean_memory);
        square += off * off;
    }
    if square > 0.0 { along / square } else { 0.0 }
}

/// Looks until it is told to stop.
#[derive(Debug)]
pub(crate) struct Sampling {
    stop: watch::Sender<bool>,
    task: JoinHandle<Samples>,
}

impl Sampling {
    pub(crate) fn start(stage: Arc<Stage>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut samples = Samples::default();
            let mut ticks = interval(EVERY);
            loop {
                tokio::select! {
                    _ = ticks.tick() => look(&stage, &mut samples),
                    _ = stopped.changed() => return samples,
                }
            }
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> Result<Samples, tokio::task::JoinError> {
        self.stop.send_replace(true);
        self.task.await
    }
}

fn look(stage: &Stage, samples: &mut Samples) {
    let at = stage.journal.now();
    let mut add = |life: &str, pid: u32, others: usize| {
        // One that has just ended has neither.
        if let (Ok(memory), Some(descriptors)) = (Memory::of(pid), descriptors(pid)) {
            let memory = memory.resident as f64 / f64::from(1 << 20);
            let descriptors = descriptors.saturating_sub(others);
            samples.0.entry(life.to_owned()).or_default().push(Sample { at, memory, descriptors });
        }
    };
    let mut sockets = 0;
    let mut all_up = true;
    for index in 0..stage.cast.len() {
        // A node that is being restarted is looked at later.
        let Ok(node) = stage.node(index).try_lock() else {
            all_up = false;
            continue;
        };
        sockets += node.proxy.sockets();
        if let Some((life, pid)) = &node.life {
            add(life, *pid, 0);
        }
    }
    // With fewer children it has fewer pipes.
    if all_up {
        add(RUNNER, std::process::id(), sockets);
    }
}

fn descriptors(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: impl Fn(u64) -> f64, seconds: u64) -> Vec<Sample> {
        let sample = |second| Sample {
            at: Duration::from_secs(second),
            memory: memory(second),
            descriptors: 10 + second as usize / 100,
        };
        (0..seconds).map(sample).collect()
    }

    #[test]
    fn growth_is_from_youth_to_the_end() {
        let growth = growth("worker-1.1", &samples(|second| 20.0 + second as f64 * 0.5, 101)).unwrap();
        assert_eq!(growth.memory, 47.5);
        assert!(growth.slope.is_some_and(|slope| (slope - 30.0).abs() < 1e-6), "{:?}", growth.slope);
        assert_eq!(growth.descriptors, 1);
        assert_eq!(super::growth("worker-1.1", &samples(|_| 1.0, 60)).unwrap().slope, None);
        assert_eq!(slope(&samples(|_| 20.0, 50)), 0.0);
        assert_eq!(slope(&samples(|_| 20.0, 1)), 0.0);
    }

    #[test]
    fn who_has_gone_or_is_young_is_left_out() {
        let all = Samples(BTreeMap::from([
            ("gone".to_owned(), samples(|_| 1.0, 50)),
            ("old".to_owned(), samples(|_| 1.0, 100)),
            ("young".to_owned(), samples(|_| 1.0, 100)[90..].to_vec()),
        ]));
        let growths = all.growths(Duration::from_secs(30), Duration::from_secs(100));
        assert_eq!(growths.iter().map(|growth| growth.life.as_str()).collect::<Vec<_>>(), ["old"]);
    }
}
