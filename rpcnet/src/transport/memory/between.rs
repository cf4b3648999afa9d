//! The conditions on the paths between two places of a network.

use std::{ops::Range, time::Duration};

use super::{
    Network,
    path::{Traffic, Way},
};

/// The paths between two places. Both directions, unless it is [one way](Self::one_way).
///
/// Several rules may apply to one path, for example a rule for a socket and a rule for its host. The latency or loss
/// that was set last applies. A path is cut if any rule cuts it.
#[derive(Debug, Clone)]
#[must_use = "it does nothing by itself"]
pub struct Between {
    network: Network,
    way: Way,
    both: bool,
}

impl Between {
    pub(super) fn new(network: Network, way: Way) -> Self {
        Self { network, way, both: true }
    }

    /// Restricts the later calls to the direction from the first place to the second.
    pub fn one_way(mut self) -> Self {
        self.both = false;
        self
    }

    /// Sets the latency of these paths; see [`Network::set_latency`].
    pub fn set_latency(&self, latency: Range<Duration>) {
        for way in self.ways() {
            self.network.conditions().paths.set_latency(way, latency.clone());
        }
    }

    /// Sets the loss of these paths; see [`Network::set_loss`].
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    pub fn set_loss(&self, share: f64) {
        assert!((0.0..=1.0).contains(&share), "the share of lost packets must be between 0 and 1");
        for way in self.ways() {
            self.network.conditions().paths.set_loss(way, share);
        }
    }

    /// Cuts these paths: nothing arrives any more, not even packets that are in flight.
    pub fn cut(&self) {
        for way in self.ways() {
            self.network.conditions().paths.cut(way);
        }
    }

    /// [Cuts](Self::cut) only the direction from the first place to the second.
    pub fn cut_one_way(&self) {
        self.network.conditions().paths.cut(self.way);
    }

    /// Undoes the cuts of these paths and of all narrower ones. A wider cut stays: paths that were cut
    /// [around](Network::around) a place have to be healed around it.
    pub fn heal(&self) {
        for way in self.ways() {
            self.network.conditions().paths.heal(way);
        }
    }

    /// Resets all connections between the two places. Both ends learn at once that the peer does not know the
    /// connection any more, as after a crash and a stateless reset (RFC 9000, section 10.3).
    pub fn reset_connections(&self) {
        for link in self.network.links() {
            let [one, other] = link.addrs;
            if self.way.holds(one, other) || self.way.holds(other, one) {
                link.with(|pair, _| pair.abort());
            }
        }
    }

    /// Returns the packets and bytes that were sent on these paths so far.
    pub fn traffic(&self) -> Traffic {
        let conditions = self.network.conditions();
        self.ways().map(|way| conditions.paths.traffic(way)).fold(Traffic::default(), Traffic::with)
    }

    fn ways(&self) -> impl Iterator<Item = Way> + use<> {
        let back = Way { from: self.way.to, to: self.way.from };
        [self.way, back].into_iter().take(if self.both { 2 } else { 1 })
    }
}
