//! Staggered attempts, of which the first success counts: RFC 8305, section 5.

use std::{future::poll_fn, net::SocketAddr, pin::Pin, task::Poll, time::Duration};

use tokio::time::sleep;

/// The delay between the starts of two attempts, if the earlier one has not ended (RFC 8305, section 8: 250 ms).
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Attempts the addresses in their order. The next attempt starts as soon as one has failed, or [`ATTEMPT_DELAY`] after
/// the last one started. Returns the first success and drops the other attempts. If all fail, returns their errors in
/// the order in which they failed. Cancel-safe.
///
/// `attempt` bounds the time of each attempt. It returns `None` if there is no time left to start one.
pub(crate) async fn race<T, E, F>(
    addrs: Vec<SocketAddr>,
    mut attempt: impl FnMut(SocketAddr) -> Option<F>,
) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = addrs.into_iter();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut failures = Vec::new();
    loop {
        match waiting.next().and_then(&mut attempt) {
            Some(next) => running.push(Box::pin(next)),
            None if running.is_empty() => return Err(failures),
            None => waiting = Vec::new().into_iter(),
        }
        let ended = tokio::select! {
            ended = next_end(&mut running) => ended,
            () = sleep(ATTEMPT_DELAY), if waiting.len() > 0 => continue,
        };
        match ended {
            Ok(success) => return Ok(success),
            Err(failure) => failures.push(failure),
        }
    }
}

/// Waits for the next attempt that ends. Removes it and returns its outcome.
async fn next_end<F: Future>(running: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|cx| {
        for index in 0..running.len() {
            if let Poll::Ready(outcome) = running[index].as_mut().poll(cx) {
                drop(running.swap_remove(index));
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Duration};

    use proptest::prelude::*;
    use tokio::time::{Instant, sleep};

    use super::*;

    fn addr(index: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], index as u16 + 1))
    }

    /// Runs a race of attempts, each of which takes its milliseconds and then succeeds or fails. Returns the winner or
    /// the failures, the milliseconds that the race took, and the start of each attempt.
    fn play(attempts: &[(u64, bool)]) -> (Result<usize, Vec<usize>>, u64, Vec<u64>) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let start = Instant::now();
            let begun = RefCell::new(Vec::new());
            let outcome = race((0..attempts.len()).map(addr).collect(), |at| {
                begun.borrow_mut().push(start.elapsed().as_millis() as u64);
                let index = usize::from(at.port()) - 1;
                let (takes, succeeds) = attempts[index];
                Some(async move {
                    sleep(Duration::from_millis(takes)).await;
                    if succeeds { Ok(index) } else { Err(index) }
                })
            });
            let outcome = outcome.await;
            (outcome, start.elapsed().as_millis() as u64, begun.into_inner())
        })
    }

    #[test]
    fn a_silent_address_costs_a_quarter_of_a_second() {
        assert_eq!(play(&[(60_000, false), (3, true)]), (Ok(1), 253, vec![0, 250]));
    }

    #[test]
    fn a_refusal_costs_nothing() {
        assert_eq!(play(&[(1, false), (2, false), (3, true)]), (Ok(2), 6, vec![0, 1, 3]));
    }

    #[test]
    fn a_slow_address_may_still_win() {
        assert_eq!(play(&[(300, true), (60_000, true)]), (Ok(0), 300, vec![0, 250]));
    }

    #[test]
    fn all_failures_are_told() {
        assert_eq!(play(&[(700, false), (1, false), (2, false)]).0, Err(vec![1, 2, 0]));
        assert_eq!(play(&[]), (Err(vec![]), 0, vec![]));
    }

    #[test]
    fn what_is_not_begun_is_not_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let mut left = 2;
        let outcome: Result<(), Vec<&str>> = runtime.block_on(race((0..9).map(addr).collect(), |_| {
            left -= 1;
            (left >= 0).then_some(async { Err("refused") })
        }));
        assert_eq!(outcome, Err(vec!["refused"; 2]));
        assert_eq!(left, -1);
    }

    proptest! {
        #[test]
        fn the_first_success_wins_and_nothing_is_left_out(
            attempts in prop::collection::vec((1_u64..2000, any::<bool>()), 0..12),
        ) {
            let (outcome, took, begun) = play(&attempts);
            let ends = |index: usize| begun[index] + attempts[index].0;
            for pair in begun.windows(2) {
                prop_assert!(pair[1] - pair[0] <= 250);
            }
            match outcome {
                Ok(winner) => {
                    prop_assert_eq!(took, ends(winner));
                    for index in (0..begun.len()).filter(|index| attempts[*index].1) {
                        prop_assert!(ends(index) >= took);
                    }
                }
                Err(failures) => {
                    prop_assert!(attempts.iter().all(|(_, succeeds)| !succeeds));
                    prop_assert_eq!(failures.len(), attempts.len());
                }
            }
        }
    }
}
