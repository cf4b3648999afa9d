//! Decides whether this node is in its cluster, and the reports to the log, the metrics and the server's readiness. Sans-io.
//!
//! A node that knows an active member is in its cluster. A node that is alone may be the first of a cluster (it has no seeds
//! other than itself), or it is cut off, which only its operator can mend. So a node that is cut off logs that with the cause
//! within [`PATIENCE`], and again with growing pauses. A node logs once that it is in the cluster, and nothing while it stays
//! there.
//!
//! - A *worker* that has never known a member gets no calls: it is not ready.
//! - Any other node may have clients that reach it alone: it is ready after the grace, with a note.
//! - A node that was in the cluster once stays ready when it is alone later, because clients may call it directly.

use std::time::{Duration, Instant};

use super::join_schedule::SeedState;

/// The time for which a node is alone before it logs that. Dials take at most 5 s, so the cause is known by then.
const PATIENCE: Duration = Duration::from_secs(6);
/// The first pause between two warnings, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(600));
/// The most seeds that one line of the log names.
const NAMED: usize = 5;

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LogLine {
    /// The node is in its cluster now.
    Joined,
    /// The node is not in its cluster.
    Alone { for_: Duration, had_company: bool },
}

/// The state for the server's readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConditionState {
    Well,
    /// The server may be ready, with this note.
    Note(String),
    NotReady(String),
}

/// The cluster at a moment, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClusterObservation<'a> {
    /// True if no other node is active.
    pub(super) is_alone: bool,
    /// True if members are down: nodes that this one has lost, and that did not leave.
    pub(super) has_lost: bool,
    pub(super) is_worker: bool,
    /// The seeds, by name.
    pub(super) seeds: &'a [(String, SeedState)],
}

impl ClusterObservation<'_> {
    /// True if there are seeds other than this node itself.
    fn has_others(&self) -> bool {
        self.seeds.iter().any(|(_, state)| *state != SeedState::Ours)
    }

    /// Returns whether this node should know other nodes and knows none.
    fn is_missed(&self) -> bool {
        self.is_alone && (self.has_others() || self.has_lost)
    }

    /// The causes, as far as they are known.
    pub(super) fn causes(&self) -> String {
        let others = self.seeds.iter().filter(|(_, state)| *state != SeedState::Ours);
        let mut causes: Vec<_> = others
            .clone()
            .take(NAMED)
            .map(|(name, state)| match state {
                SeedState::Failing(failure) if failure.text.starts_with(name.as_str()) => {
                    failure.text.clone()
                }
                SeedState::Failing(failure) => format!("{name}: {}", failure.text),
                _ => format!("{name}: no answer yet"),
            })
            .collect();
        match others.count() {
            0 => causes.push("no seed is configured beside this node itself".into()),
            more if more > NAMED => causes.push(format!("and {} more seeds", more - NAMED)),
            _ => {}
        }
        causes.join("; ")
    }
}

#[derive(Debug)]
pub(super) struct JoinState {
    started: Instant,
    grace: Duration,
    /// The time since which the node has been alone, and the time of the next warning.
    alone: Option<(Instant, Instant)>,
    pause: Duration,
    had_company: bool,
}

impl JoinState {
    pub(super) fn new(grace: Duration, now: Instant) -> Self {
        Self { started: now, grace, alone: None, pause: PAUSES.0, had_company: false }
    }

    /// Takes in an observation. Returns the line to log, if there is one.
    pub(super) fn look(&mut self, now: Instant, observation: &ClusterObservation<'_>) -> Option<LogLine> {
        if !observation.is_alone {
            let is_news = self.alone.take().is_some() || !self.had_company;
            self.had_company = true;
            self.pause = PAUSES.0;
            return is_news.then_some(LogLine::Joined);
        }
        let (since, due) = *self.alone.get_or_insert((now, now + PATIENCE));
        if now < due || !observation.is_missed() {
            return None;
        }
        self.alone = Some((since, now + self.pause));
        self.pause = (self.pause * 2).min(PAUSES.1);
        Some(LogLine::Alone { for_: now.saturating_duration_since(since), had_company: self.had_company })
    }

    /// Returns the time to look again if nothing changes.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let grace = self.started.checked_add(self.grace).filter(|_| !self.had_company);
        let due = self.alone.map(|(_, due)| due);
        due.into_iter().chain(grace).filter(|at| *at > now).min()
    }

    /// Returns whether the node is in its cluster: it knows other nodes, or has no seed through which to find any.
    pub(super) fn is_joined(&self, observation: &ClusterObservation<'_>) -> bool {
        !observation.is_missed()
    }

    /// The state for the server's readiness.
    pub(super) fn verdict(&self, now: Instant, observation: &ClusterObservation<'_>) -> ConditionState {
        if !observation.is_missed() {
            return ConditionState::Well;
        }
        let causes = observation.causes();
        if self.had_company {
            return ConditionState::Note(format!("this node is alone, all other members are lost: {causes}"));
        }
        if observation.is_worker {
            return ConditionState::NotReady(format!("no member of the cluster is reached yet: {causes}"));
        }
        if now.saturating_duration_since(self.started) < self.grace {
            return ConditionState::NotReady(format!("no seed is reached yet: {causes}"));
        }
        ConditionState::Note(format!("this node is alone, no seed is reached: {causes}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::join_schedule::JoinFailure, *};

    const GRACE: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    fn failing() -> Vec<(String, SeedState)> {
        let failure = JoinFailure { reason: "unreachable", text: "10.0.0.1:7500 did not answer".into() };
        vec![
            ("directors:7500".into(), SeedState::Failing(failure)),
            ("10.0.0.2:7500".into(), SeedState::Asked),
            ("10.0.0.9:7500".into(), SeedState::Ours),
        ]
    }

    fn observation(is_alone: bool, seeds: &[(String, SeedState)]) -> ClusterObservation<'_> {
        ClusterObservation { is_alone, has_lost: false, is_worker: false, seeds }
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an `Instant` can't be made from a number")]
        Instant::now()
    }

    /// Looks each second; the seconds in which something was said.
    fn said(
        state: &mut JoinState,
        from: Instant,
        seconds: u32,
        observation: &ClusterObservation<'_>,
    ) -> Vec<(u32, LogLine)> {
        let look = |second| Some((second, state.look(from + SECOND * second, observation)?));
        (0..seconds).filter_map(look).collect()
    }

    #[test]
    fn being_alone_is_said_soon_and_then_rarely() {
        let (now, seeds) = (start(), failing());
        let mut state = JoinState::new(GRACE, now);
        let said: Vec<_> = said(&mut state, now, 7200, &observation(true, &seeds))
            .into_iter()
            .map(|(second, _)| second)
            .collect();
        assert!(said[0] <= 10);
        let pauses: Vec<_> = said.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses[..6], [15, 30, 60, 120, 240, 480]);
        assert!(pauses[6..].iter().all(|pause| *pause == 600));
        let causes = observation(true, &seeds).causes();
        assert!(causes.contains("directors:7500: 10.0.0.1:7500 did not answer"), "{causes}");
        assert!(causes.contains("10.0.0.2:7500: no answer yet") && !causes.contains("10.0.0.9"), "{causes}");
    }

    #[test]
    fn company_is_said_once_and_again_only_after_having_been_alone() {
        let (now, seeds) = (start(), failing());
        let mut state = JoinState::new(GRACE, now);
        assert_eq!(said(&mut state, now, 3600, &observation(false, &seeds)), [(0, LogLine::Joined)]);
        let lost = said(&mut state, now + SECOND * 3600, 8, &observation(true, &seeds));
        assert!(matches!(lost[..], [(6, LogLine::Alone { had_company: true, .. })]), "{lost:?}");
        let later = now + SECOND * 3700;
        assert_eq!(said(&mut state, later, 3600, &observation(false, &seeds)), [(0, LogLine::Joined)]);
    }

    #[test]
    fn the_first_node_of_a_cluster_is_well_alone() {
        let now = start();
        for seeds in [vec![], vec![("10.0.0.9:7500".into(), SeedState::Ours)]] {
            let mut state = JoinState::new(GRACE, now);
            let observation = observation(true, &seeds);
            assert_eq!(said(&mut state, now, 3600, &observation), []);
            assert_eq!(state.verdict(now, &observation), ConditionState::Well);
            assert!(state.is_joined(&observation));
        }
        // But it is not, once the others are lost.
        let mut state = JoinState::new(GRACE, now);
        assert_eq!(state.look(now, &observation(false, &[])), Some(LogLine::Joined));
        let lost = ClusterObservation { has_lost: true, ..observation(true, &[]) };
        assert_eq!(said(&mut state, now, 10, &lost).len(), 1);
        assert!(matches!(state.verdict(now, &lost), ConditionState::Note(_)));
        assert!(!state.is_joined(&lost));
    }

    #[test]
    fn readiness_waits_for_the_cluster_as_the_role_says() {
        let (now, seeds) = (start(), failing());
        let director = observation(true, &seeds);
        let worker = ClusterObservation { is_worker: true, ..director };
        let mut state = JoinState::new(GRACE, now);
        state.look(now, &director);
        assert!(state.next(now).is_some_and(|next| next <= now + GRACE));
        for (at, of_director) in [(0, false), (9, false), (10, true), (3600, true)] {
            let at = now + SECOND * at;
            let ready = matches!(state.verdict(at, &director), ConditionState::Note(_));
            assert_eq!(ready, of_director);
            assert!(matches!(state.verdict(at, &worker), ConditionState::NotReady(_)));
        }
        state.look(now, &observation(false, &seeds));
        assert_eq!(state.verdict(now, &observation(false, &seeds)), ConditionState::Well);
        // A node that was in the cluster once stays ready.
        assert!(matches!(state.verdict(now, &worker), ConditionState::Note(_)));
    }

    proptest! {
        /// A node logs that it is alone only after the patience, and never twice in a row that it has joined.
        #[test]
        fn what_is_said_is_so(alone in proptest::collection::vec((any::<bool>(), 1..40u32), 1..30)) {
            let (mut now, seeds) = (start(), failing());
            let mut state = JoinState::new(GRACE, now);
            let mut joined = false;
            let mut since = None;
            for (is_alone, seconds) in alone {
                for _ in 0..seconds {
                    if is_alone {
                        since.get_or_insert(now);
                    } else {
                        since = None;
                    }
                    match state.look(now, &observation(is_alone, &seeds)) {
                        Some(LogLine::Joined) => {
                            prop_assert!(!is_alone && !joined);
                            joined = true;
                        }
                        Some(LogLine::Alone { .. }) => {
                            prop_assert!(since.is_some_and(|since| now - since >= PATIENCE));
                        }
                        None => {}
                    }
                    joined &= !is_alone;
                    now += SECOND;
                }
            }
        }
    }
}
