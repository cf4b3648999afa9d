//! What is between two places of a network.

use std::{ops::Range, time::Duration};

use super::{
    Network,
    path::{Traffic, Way},
};

/// The paths between two places, and back unless it is [one way](Self::one_way).
///
/// Where several rules are about a path (this one's, and one about a whole host), the one that was set last counts; a
/// path is cut if any says so.
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

    /// Only what goes from the first to the second.
    pub fn one_way(mut self) -> Self {
        self.both = false;
        self
    }

    /// As [`Network::set_latency`], for these paths.
    pub fn set_latency(&self, latency: Range<Duration>) {
        for way in self.ways() {
            self.network.weather().paths.set_latency(way, latency.clone());
        }
    }

    /// As [`Network::set_loss`], for these paths.
    ///
    /// # Panics
    ///
    /// Where it is not between 0 and 1.
    pub fn set_loss(&self, share: f64) {
        assert!((0.0..=1.0).contains(&share), "a share is between 0 and 1");
        for way in self.ways() {
            self.network.weather().paths.set_loss(way, share);
        }
    }

    /// Nothing arrives any more, not even what is under way.
    pub fn cut(&self) {
        for way in self.ways() {
            self.network.weather().paths.cut(way);
        }
    }

    /// [Cuts](Self::cut) only what goes from the first to the second.
    pub fn cut_one_way(&self) {
        self.network.weather().paths.cut(self.way);
    }

    /// Undoes the cuts of these paths and of all that are among them. Not of one that is wider: what was cut
    /// [around](Network::around) a place is healed around it.
    pub fn heal(&self) {
        for way in self.ways() {
            self.network.weather().paths.heal(way);
        }
    }

    /// Both ends of all connections between the two learn at once that the peer does not know them any more, as after
    /// a crash and a stateless reset (RFC 9000, section 10.3).
    pub fn reset_connections(&self) {
        for link in self.network.links() {
            let [one, other] = link.addrs;
            if self.way.holds(one, other) || self.way.holds(other, one) {
                link.with(|pair, _| pair.abort());
            }
        }
    }

    /// What was sent on these paths so far.
    pub fn traffic(&self) -> Traffic {
        let weather = self.network.weather();
        self.ways().map(|way| weather.paths.traffic(way)).fold(Traffic::default(), Traffic::with)
    }

    fn ways(&self) -> impl Iterator<Item = Way> + use<> {
        let back = Way { from: self.way.to, to: self.way.from };
        [self.way, back].into_iter().take(if self.both { 2 } else { 1 })
    }
}
