mod address_change;
mod broadcasts;
mod gossip;
mod healing;
mod leaving;
mod lifeguard;
mod membership;
mod packets;
mod reassert;
mod records;
mod sim;

pub(in crate::swim) use sim::epoch;
