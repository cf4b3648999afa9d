//! The agreement of two nodes on a version of the gossip protocol.
//!
//! Each node announces the lowest and the highest version that it speaks. They use the highest version that both speak. A
//! release also speaks the version of the release before it, so the nodes of a cluster can be upgraded one after the other.
//! The additions of a version are only sent to peers that speak it.
//!
//! | version | adds |
//! |---|---|
//! | 1 | members, records, leaves |
//! | 2 | broadcasts of users |

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::config::GOSSIP_VERSIONS;

/// A lowest and a highest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Versions(pub(super) u8, pub(super) u8);

impl Versions {
    /// Returns the range, or `None` if this release does not speak all of it.
    pub(super) fn new(spoken: &RangeInclusive<u8>) -> Option<Self> {
        let (lowest, highest) = (*spoken.start(), *spoken.end());
        let known =
            GOSSIP_VERSIONS.contains(&lowest) && GOSSIP_VERSIONS.contains(&highest) && lowest <= highest;
        known.then_some(Self(lowest, highest))
    }

    /// Returns the version to use with a peer that speaks `theirs`, if there is one.
    pub(super) fn agree(self, theirs: Self) -> Option<u8> {
        let highest = self.1.min(theirs.1);
        (highest >= self.0.max(theirs.0)).then_some(highest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_understand_each_other() {
        assert_eq!(Versions(1, 2).agree(Versions(2, 3)), Some(2));
        assert_eq!(Versions(1, 2).agree(Versions(1, 1)), Some(1));
        assert_eq!(Versions(1, 2).agree(Versions(3, 4)), None);
        assert_eq!(Versions::new(&GOSSIP_VERSIONS), Some(Versions(1, 2)));
        assert_eq!(Versions::new(&(0..=1)), None);
        assert_eq!(Versions::new(&(2..=3)), None);
        #[expect(clippy::reversed_empty_ranges, reason = "it is what is refused")]
        let empty = 2..=1;
        assert_eq!(Versions::new(&empty), None);
    }

    proptest! {
        #[test]
        fn both_sides_agree_alike(a in any::<(u8, u8)>(), b in any::<(u8, u8)>()) {
            let (a, b) = (Versions(a.0, a.1), Versions(b.0, b.1));
            prop_assert_eq!(a.agree(b), b.agree(a));
            if let Some(version) = a.agree(b) {
                prop_assert!((a.0..=a.1).contains(&version) && (b.0..=b.1).contains(&version));
            }
        }
    }
}
