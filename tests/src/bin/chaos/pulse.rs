//! A watch on the runner itself: every packet goes through it, so while it does not get the processor, nothing that it
//! measures is the cluster's doing.

use std::{ops::Range, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// The interval between two looks at the clock.
const BEAT: Duration = Duration::from_millis(20);
/// After so long without a packet a peer is silent: who stands still for longer makes calls fail himself.
const STALL: Duration = Duration::from_millis(250);

/// A moment in which the runner stood still.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stall {
    /// When it was over, since the beginning of the run.
    pub(crate) at: Duration,
    pub(crate) length: Duration,
}

/// Looks until it is told to stop.
#[derive(Debug)]
pub(crate) struct Pulse {
    stop: watch::Sender<bool>,
    task: JoinHandle<Vec<Stall>>,
}

impl Pulse {
    /// `zero` is the beginning of the run.
    pub(crate) fn start(zero: Instant) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut stalls = Vec::new();
            loop {
                let before = Instant::now();
                tokio::select! {
                    () = sleep(BEAT) => {}
                    _ = stopped.changed() => return stalls,
                }
                let length = before.elapsed().saturating_sub(BEAT);
                if length >= STALL {
                    stalls.push(Stall { at: zero.elapsed(), length });
                }
            }
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> Result<Vec<Stall>, tokio::task::JoinError> {
        self.stop.send_replace(true);
        self.task.await
    }
}

/// The times in which the runner did not stand still.
pub(crate) fn without(times: &[Range<Duration>], stalls: &[Stall]) -> Vec<Range<Duration>> {
    let stood = |time: &Range<Duration>| {
        stalls.iter().any(|stall| stall.at.saturating_sub(stall.length) < time.end && time.start < stall.at)
    };
    times.iter().filter(|time| !stood(time)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_a_stall_are_left_out() {
        let second = Duration::from_secs(1);
        let times = [second..second * 5, second * 10..second * 20];
        let stall = |at: u32| Stall { at: second * at, length: second };
        assert_eq!(without(&times, &[]), times);
        assert_eq!(without(&times, &[stall(1), stall(6), stall(10)]), times, "they only touch");
        assert_eq!(without(&times, &[stall(20)]), times[..1]);
        assert_eq!(without(&times, &[stall(2)]), times[1..]);
    }
}
