//! The intervals and limits by which a node probes, gossips and forgets.

use std::{
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

/// The smallest limit for packets in bytes: the room that the largest header and one broadcast item need, with reserve.
const MIN_PACKET_SIZE: usize = 800;

/// The longest period: one day. Members are remembered for at most 365 times as long.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The factor by which a suspicion lasts longer if nobody confirms it.
const UNCONFIRMED: u32 = 5;

/// Settings of a [`Node`](super::Node). All nodes of a cluster should have the same settings. A time out of its range
/// counts as the nearest time in the range. No period is longer than a day.
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
    /// Settings for nodes within one data centre, with the intervals of memberlist's LAN defaults. All nodes learn of a
    /// crash within some seconds. A peer may be silent for as long without being called down.
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

    /// Settings for nodes in several data centres, with the intervals of memberlist's WAN defaults where they are
    /// longer. Probes have 3 s for an answer. A suspect has twice as many probe periods as in a LAN, each of 5 s.
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

    /// Settings for tests and demonstrations on one host: five times as fast as [`Config::new_lan`]. They are also five
    /// times as quick to accuse a process that the host does not schedule.
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

    /// The period in which one random member is probed. At least 10 ms. Default 1 s. A node sends and answers about one
    /// probe a period however large the cluster is.
    pub fn with_probe_period(mut self, period: Duration) -> Self {
        self.probe_period = period.clamp(Duration::from_millis(10), LONGEST);
        self
    }

    /// The time for an answer to a probe, after which other members are asked to probe. Default 500 ms. Those members
    /// need the rest of the probe period, so more than two thirds of it counts as two thirds.
    pub fn with_probe_timeout(mut self, timeout: Duration) -> Self {
        self.probe_timeout = timeout.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// Sets how long a suspect has to refute. If three other nodes confirm that they could not reach it, it is down
    /// after `multiplier` × max(1, log₁₀ n) probe periods; with fewer confirmations, after up to five times as long. At
    /// least 1. Default 3.
    pub fn with_suspicion_multiplier(mut self, multiplier: u32) -> Self {
        self.suspicion_multiplier = multiplier.clamp(1, 1000);
        self
    }

    /// The interval at which news is sent to some members. At least 1 ms. Default 200 ms. Nothing is sent without news.
    pub fn with_gossip_interval(mut self, interval: Duration) -> Self {
        self.gossip_interval = interval.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// The number of members that news is sent to at a time. 1 to 64. Default 3.
    pub fn with_gossip_fanout(mut self, fanout: usize) -> Self {
        self.gossip_fanout = fanout.clamp(1, 64);
        self
    }

    /// The largest packet in bytes that goes in a datagram. At least 800. Default 1100, which fits a datagram of a QUIC
    /// connection that knows nothing of its path. The limit applies to received packets too, so it must be the same on
    /// all nodes.
    pub fn with_max_packet_size(mut self, bytes: usize) -> Self {
        self.max_packet_size = bytes.clamp(MIN_PACKET_SIZE, 65_000);
        self
    }

    /// The interval at which members and records are compared with those of a random member. At least 100 ms. Default
    /// 30 s.
    ///
    /// The first comparisons after joining follow each other faster, and nodes whose probes show a difference compare
    /// at once. A comparison without differences costs about a byte for four members.
    pub fn with_sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval.clamp(Duration::from_millis(100), LONGEST);
        self
    }

    /// The interval at which the node announces itself to two random members that are down. At least 100 ms. Default is
    /// 10 s. This is what heals a partition.
    pub fn with_reconnect_interval(mut self, interval: Duration) -> Self {
        self.reconnect_interval = interval.clamp(Duration::from_millis(100), LONGEST);
        self
    }

    /// The time that the news that a member is down waits for the news that it had left, before
    /// [`Event::NodeFailed`](super::Event::NodeFailed). Default 1 s. The member's state changes at once.
    pub fn with_leave_grace(mut self, grace: Duration) -> Self {
        self.leave_grace = grace.min(LONGEST);
        self
    }

    /// The time for which members that are down or have left are remembered. 1 min to a year. Default 24 h. A partition
    /// that lasts longer heals only through seeds.
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

    /// The time within which losses are counted together. If a part of the cluster can't be reached any more, its first
    /// node is called down long before its last one.
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
    /// The time after the last fault within which `nodes` nodes agree, including the jitter of all intervals. The sum
    /// of:
    ///
    /// - SWIM's 2n − 1 probe periods and a suspicion, until all members that are down are held down;
    /// - n rounds of announcing to members that are down, and 30 s in which seeds are asked again;
    /// - three rounds of anti-entropy.
    pub(crate) fn converges_within(&self, nodes: usize) -> Duration {
        let count = nodes.max(1) as u32;
        // Two suspicions and the silence before them: an accuser that was not well itself begins anew.
        let suspicion = self.longest_suspicion(nodes) * 2 + self.probe_period * 10;
        let detected = self.probe_period * (2 * count) + suspicion + self.leave_grace;
        let announced = (self.reconnect_interval * count).mul_f64(1.2) + Duration::from_secs(30);
        let compared = (self.sync_interval * 3).mul_f64(1.2);
        detected + announced + compared
    }

    /// The shortest suspicion in probe periods.
    fn suspicion(&self, nodes: usize) -> f64 {
        f64::from(self.suspicion_multiplier) * (nodes as f64).log10().max(1.0)
    }

    /// The time that a suspect has to answer in a cluster of `nodes`, if enough other nodes confirm that they can't
    /// reach it.
    pub(super) fn shortest_suspicion(&self, nodes: usize) -> Duration {
        self.probe_period.mul_f64(self.suspicion(nodes))
    }

    /// The time that a suspect has to answer if nobody confirms the suspicion.
    pub(super) fn longest_suspicion(&self, nodes: usize) -> Duration {
        self.shortest_suspicion(nodes) * UNCONFIRMED
    }

    /// The number of times that a piece of news is sent on in a cluster of `nodes`. foca rounds 4·log₁₀(n + 1) down,
    /// which at 10 nodes is 4 and leaves some without the news. This rounds up and adds two for lost packets.
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
            // Anti-entropy finds all members that are unknown here.
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
