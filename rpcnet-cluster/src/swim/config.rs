//! How fast a node probes, gossips and forgets.

use std::{
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

/// The room that the largest header and one broadcast item need, with reserve.
const MIN_PACKET_SIZE: usize = 800;

/// The longest period, a day; members are remembered for at most a year.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// By how much longer a suspicion lasts that nobody confirms.
const UNCONFIRMED: u32 = 5;

/// Settings of a [`Node`](super::Node). All nodes of a cluster should have the same. A time out of its range counts as the
/// nearest one within; no period is longer than a day.
#[derive(Clone, Debug)]
pub struct Config {
    probe_period: Duration,
    probe_timeout: Duration,
    suspicion_multiplier: u32,
    indirect_probes: usize,
    gossip_interval: Duration,
    gossip_fanout: usize,
    max_packet_size: usize,
    sync_interval: Duration,
    reconnect_interval: Duration,
    leave_grace: Duration,
    forget_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self::new_lan()
    }
}

impl Config {
    /// For nodes within one data centre, with the intervals of memberlist's LAN defaults: a crash is known to all within
    /// some seconds, and a peer may be silent for as long without being called down.
    pub const fn new_lan() -> Self {
        Self {
            probe_period: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            suspicion_multiplier: 3,
            indirect_probes: 3,
            gossip_interval: Duration::from_millis(200),
            gossip_fanout: 3,
            max_packet_size: 1100,
            sync_interval: Duration::from_secs(30),
            reconnect_interval: Duration::from_secs(10),
            leave_grace: Duration::from_secs(1),
            forget_after: Duration::from_secs(24 * 60 * 60),
        }
    }

    /// For nodes in several data centres, with the intervals of memberlist's WAN defaults where they are longer: probes have
    /// 3 s for an answer, and a suspect has half as long again as in a LAN for each probe period of 5 s.
    pub const fn new_wan() -> Self {
        Self {
            probe_period: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            suspicion_multiplier: 6,
            gossip_interval: Duration::from_millis(500),
            gossip_fanout: 4,
            sync_interval: Duration::from_secs(60),
            leave_grace: Duration::from_secs(3),
            ..Self::new_lan()
        }
    }

    /// For tests and demonstrations on one host: five times as fast as [`Config::new_lan`], and so five times as quick to
    /// accuse a process that the host does not schedule.
    pub const fn new_local() -> Self {
        Self {
            probe_period: Duration::from_millis(200),
            probe_timeout: Duration::from_millis(80),
            gossip_interval: Duration::from_millis(40),
            sync_interval: Duration::from_secs(5),
            reconnect_interval: Duration::from_secs(1),
            leave_grace: Duration::from_millis(300),
            ..Self::new_lan()
        }
    }

    /// How often a random member is probed. At least 10 ms. Default 1 s; a node sends and answers about one probe a
    /// period however large the cluster is.
    pub fn with_probe_period(mut self, period: Duration) -> Self {
        self.probe_period = period.clamp(Duration::from_millis(10), LONGEST);
        self
    }

    /// How long an answer may take before other members are asked to probe. Default 500 ms. More than two thirds of the
    /// probe period would leave them no time and counts as two thirds.
    pub fn with_probe_timeout(mut self, timeout: Duration) -> Self {
        self.probe_timeout = timeout.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// A suspect that does not refute is down after `multiplier` × max(1, log₁₀ n) probe periods, where three others could
    /// not reach it either; with fewer of them up to five times later. At least 1. Default 3.
    pub fn with_suspicion_multiplier(mut self, multiplier: u32) -> Self {
        self.suspicion_multiplier = multiplier.clamp(1, 1000);
        self
    }

    /// How often news is sent to some random members. At least 1 ms. Default 200 ms; without news nothing is sent.
    pub fn with_gossip_interval(mut self, interval: Duration) -> Self {
        self.gossip_interval = interval.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// To how many members news is sent at a time. 1 to 64. Default 3.
    pub fn with_gossip_fanout(mut self, fanout: usize) -> Self {
        self.gossip_fanout = fanout.clamp(1, 64);
        self
    }

    /// The largest packet in bytes that goes in a datagram. At least 800. Default
    /// 1100, which fits a datagram of a QUIC connection that knows nothing of its path. It bounds what is accepted too,
    /// so it must be the same on all nodes.
    pub fn with_max_packet_size(mut self, bytes: usize) -> Self {
        self.max_packet_size = bytes.clamp(MIN_PACKET_SIZE, 65_000);
        self
    }

    /// How often members and records are compared with those of a random member. At least 100 ms. Default 30 s; after
    /// joining the first comparisons follow each other faster, and nodes whose probes show that they know different things
    /// compare at once. Where nothing differs one costs a byte for four members.
    pub fn with_sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval.clamp(Duration::from_millis(100), LONGEST);
        self
    }

    /// How often two random members that are down are announced to. At least 100 ms. Default 10 s. This is what heals a
    /// partition.
    pub fn with_reconnect_interval(mut self, interval: Duration) -> Self {
        self.reconnect_interval = interval.clamp(Duration::from_millis(100), LONGEST);
        self
    }

    /// How long the news that a member is down waits for the news that it had left, before
    /// [`Event::NodeFailed`](super::Event::NodeFailed). Default 1 s; the member's state changes at once.
    pub fn with_leave_grace(mut self, grace: Duration) -> Self {
        self.leave_grace = grace.min(LONGEST);
        self
    }

    /// How long members that are down or have left are remembered. 1 min to a year. Default 24 h. A partition that lasts
    /// longer heals only through seeds.
    pub fn with_forget_after(mut self, after: Duration) -> Self {
        self.forget_after = after.clamp(Duration::from_secs(60), LONGEST * 365);
        self
    }

    /// The largest packet in bytes that goes in a datagram.
    pub(crate) const fn max_packet_size(&self) -> usize {
        self.max_packet_size
    }

    pub(super) const fn gossip_interval(&self) -> Duration {
        self.gossip_interval
    }

    pub(super) const fn gossip_fanout(&self) -> usize {
        self.gossip_fanout
    }

    pub(super) const fn probe_period(&self) -> Duration {
        self.probe_period
    }

    pub(super) const fn reconnect_interval(&self) -> Duration {
        self.reconnect_interval
    }

    /// Losses within this time are counted together: of a part of the cluster that can't be reached any more the first
    /// node is called down long before the last.
    pub(crate) fn partition_window(&self) -> Duration {
        self.probe_period * 20
    }

    pub(super) const fn leave_grace(&self) -> Duration {
        self.leave_grace
    }

    pub(super) const fn forget_after(&self) -> Duration {
        self.forget_after
    }

    pub(super) const fn sync_interval(&self) -> Duration {
        self.sync_interval
    }

    #[cfg(any(test, feature = "testing"))]
    /// How long after the last fault `nodes` nodes may take to agree: SWIM's 2n − 1 probe periods and a suspicion, until
    /// what is down is held down; n rounds of announcing to members that are down, and 30 s in which seeds are asked
    /// again; three rounds of anti-entropy. With the spread of all intervals.
    pub(crate) fn converges_within(&self, nodes: usize) -> Duration {
        let count = nodes.max(1) as u32;
        // Twice, and the silence before it: whoever was not well itself begins anew.
        let suspicion = self.longest_suspicion(nodes) * 2 + self.probe_period * 10;
        let detected = self.probe_period * (2 * count) + suspicion + self.leave_grace;
        let announced = (self.reconnect_interval * count).mul_f64(1.2) + Duration::from_secs(30);
        let compared = (self.sync_interval * 3).mul_f64(1.2);
        detected + announced + compared
    }

    /// In probe periods.
    fn suspicion(&self, nodes: usize) -> f64 {
        f64::from(self.suspicion_multiplier) * (nodes as f64).log10().max(1.0)
    }

    /// How long a suspect has to answer when others confirm that it can't be reached, in a cluster of `nodes`.
    pub(super) fn shortest_suspicion(&self, nodes: usize) -> Duration {
        self.probe_period.mul_f64(self.suspicion(nodes))
    }

    /// How long it has when nobody confirms it.
    pub(super) fn longest_suspicion(&self, nodes: usize) -> Duration {
        self.shortest_suspicion(nodes) * UNCONFIRMED
    }

    /// How often a piece of news is sent on in a cluster of `nodes`. foca rounds 4·log₁₀(n + 1) down, which at 10 nodes
    /// is 4 and leaves some without the news; this rounds up and adds two for lost packets.
    pub(super) fn max_transmissions(nodes: usize) -> NonZeroU8 {
        let rounds = ((nodes as f64 + 1.0).log10() * 4.0).ceil() as u8;
        NonZeroU8::MIN.saturating_add(rounds.saturating_add(1))
    }

    /// foca's settings for a cluster of `nodes`, this one included.
    pub(super) fn for_foca(&self, nodes: usize) -> foca::Config {
        let non_zero = |value: usize| NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN);
        foca::Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_timeout.min(self.probe_period * 2 / 3),
            num_indirect_probes: non_zero(self.indirect_probes),
            max_transmissions: Self::max_transmissions(nodes),
            suspect_to_down_after: self.probe_period.mul_f64(self.suspicion(nodes)),
            remove_down_after: Some(self.forget_after),
            max_packet_size: non_zero(self.max_packet_size - 1),
            notify_down_members: true,
            // Anti-entropy finds members that are unknown here, and finds all of them.
            periodic_announce: None,
            periodic_announce_to_down_members: None,
            periodic_gossip: Some(foca::PeriodicParams {
                frequency: self.gossip_interval,
                num_members: non_zero(self.gossip_fanout),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transmissions_round_up() {
        let rounds = [1, 10, 100, 1000].map(|nodes| Config::max_transmissions(nodes).get());
        assert_eq!(rounds, [4, 7, 11, 15]);
    }
}
