//! Calls that a relay hands on, where that makes a difference. What holds for all calls is tested over relays where it is
//! tested otherwise: in `calls`, `streams`, `deadlines` and `context`.

mod cluster;
mod failures;
mod handed_on;
mod peers;
mod place;
mod streams;
