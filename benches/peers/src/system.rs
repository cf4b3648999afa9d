//! The measured systems.

use std::fmt;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// rpcnet, or one of the peers in one of its configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum System {
    /// rpcnet of this repository, as it is by default.
    Ours,
    /// rpcnet of this repository, forced to a stream a call.
    OursStreams,
    /// rpcnet of this repository, calls balanced over servers by default.
    OursBalanced,
    /// Bare quinn, a stream a call.
    BareStream,
    /// Bare quinn, all calls of a connection on one stream.
    BareLane,
    /// Bare quinn, a stream of items in batches.
    BareItems,
    /// rpcnet 0.1 from the registry.
    Rpcnet01,
    /// tarpc over plain TCP.
    Tarpc,
    /// tonic over TLS.
    TonicTls,
    /// tonic over plain TCP.
    TonicTcp,
    /// tonic over TLS, its own balancer.
    TonicBalanceList,
    /// tonic over TLS, tower's balancer.
    TowerPeakEwma,
}

impl System {
    /// The system's name in tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "rpcnet",
            Self::OursStreams => "rpcnet, a stream a call",
            Self::OursBalanced => "rpcnet, balanced",
            Self::BareStream => "bare quinn, a stream a call",
            Self::BareLane => "bare quinn, one lane",
            Self::BareItems => "bare quinn, 16 KiB batches",
            Self::Rpcnet01 => "rpcnet 0.1",
            Self::Tarpc => "tarpc, plain TCP",
            Self::TonicTls => "tonic, TLS",
            Self::TonicTcp => "tonic, plain TCP",
            Self::TonicBalanceList => "tonic, balance_list",
            Self::TowerPeakEwma => "tower, p2c and peak EWMA",
        }
    }

    /// The number of serving processes.
    pub(crate) fn servers(self) -> usize {
        match self {
            Self::OursBalanced | Self::TonicBalanceList | Self::TowerPeakEwma => 4,
            _ => 1,
        }
    }

    /// Returns whether this binary was built with the system.
    pub(crate) fn is_built(self) -> bool {
        self != Self::Rpcnet01 || cfg!(feature = "rpcnet-0-1")
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for System {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
