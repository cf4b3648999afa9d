//! Streams that go on elsewhere: each item once, in order.

mod ends;
mod moves;
mod scripts;
mod service;
