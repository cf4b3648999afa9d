//! Small calls share a stream, and nobody notices but by their speed.

mod bounds;
mod calls;
mod frames;
mod lines;
mod loads;
mod peers;
