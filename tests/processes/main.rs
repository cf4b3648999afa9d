//! Tests that start processes, or read state that a process has once, such as its log. They stay apart from other tests.

mod alone;
mod blocking_handlers;
mod netbed;
mod short_lived;
