//! stub
use std::time::{Duration, Instant};
#[derive(Debug, Clone, Default)]
pub struct OutlierConfig {}
#[derive(Debug, Clone, Copy)]
pub enum Outcome { Success, Failure, Timeout }
pub enum Admission { Yes, Trial, No }
#[derive(Debug)]
pub struct Outlier;
impl Outlier {
    pub fn new() -> Self { Self }
    pub fn observe(&mut self, _: Instant, _: Outcome) {}
    pub fn admits(&self, _: Instant) -> Admission { Admission::Yes }
    pub fn weight(&self, _: Instant) -> f64 { 1.0 }
}
#[derive(Debug)]
pub struct Detector;
impl Detector {
    pub fn new(_: OutlierConfig) -> Self { Self }
    pub fn sweep(&self, _: Instant, _: &mut [&mut Outlier], _: &mut impl rand::Rng) -> Vec<usize> { Vec::new() }
}
