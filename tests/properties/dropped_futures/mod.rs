//! Futures that are dropped, at each of their await points once: what they were about can be used afterwards, and where
//! the documentation says *cancel-safe* nothing is lost.

mod calls;
mod clusters;
mod items;
mod place;
mod points;
mod servers;
mod transport;
