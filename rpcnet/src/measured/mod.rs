//! Internals for benches: the pieces whose instructions they count, and the configuration of bare quinn, so that it
//! differs from rpcnet in nothing else.

mod codec;
mod wire;

use std::fmt;

pub use crate::transport::bare_endpoint;
use crate::{
    Limits,
    transport::{self, DialOptions, Room},
};

/// A small operation on the path of each call or item, which can be repeated any number of times.
pub struct Piece {
    name: &'static str,
    run: Box<dyn FnMut()>,
}

impl Piece {
    /// Returns the name, for example `request/encode`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the operation once.
    pub fn run(&mut self) {
        (self.run)();
    }

    /// Creates a piece that runs this function.
    pub fn new(name: &'static str, run: impl FnMut() + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Returns the configuration of a connection on loopback as rpcnet makes it, with as many streams open from the start as
/// [`Limits`] allow. The windows are those with which a connection begins, and stay as they are.
pub fn bare_transport(options: &DialOptions) -> quinn::TransportConfig {
    let limits = Limits::default();
    let room = Room { streams: limits.max_calls_per_connection(), ..limits.room() };
    transport::bare_transport(options, room)
}

/// Returns all pieces, ready to run.
pub fn pieces() -> Vec<Piece> {
    let mut pieces = codec::pieces();
    pieces.extend(wire::pieces());
    pieces.push(Piece::new("lane/call", crate::session::lane_call()));
    pieces
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pieces_can_be_done_again_and_again() {
        let mut names = HashSet::new();
        for mut piece in pieces() {
            assert!(names.insert(piece.name()), "{piece:?} is there twice");
            for _ in 0..1000 {
                piece.run();
            }
        }
    }
}
