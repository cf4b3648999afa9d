//! Which endpoint gets the next call. Sans-io: time, load and randomness are arguments.

mod peak_ewma;
mod picker;

pub use self::{
    peak_ewma::PeakEwma,
    picker::{Picker, Policy},
};
