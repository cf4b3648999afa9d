use super::*;
use crate::workload::WORKLOADS;

/// A round of one second with this many calls and this p50.
pub(crate) fn round(workload: Workload, system: System, round: u32, done: u64, p50: f64) -> Measurement {
    let latency = Some(Latency { p50, p95: 2.0 * p50, p99: 3.0 * p50, p999: 4.0 * p50 });
    let usage = Usage { cpu_seconds: 0.5, peak_bytes: 8 << 20, connection_bytes: Some(2048.0) };
    Measurement::new(
        workload,
        system,
        round,
        Outcome { done, seconds: 1.0, latency, slow_share: None },
        [usage; 2],
    )
}

#[test]
fn ratios_compare_rounds_of_the_same_time() {
    let mut samples = Samples::new(WORKLOADS[1]);
    // The machine was slow for the second round of both systems. The ratio is not affected.
    for (index, done) in [1000, 100, 1000].into_iter().enumerate() {
        samples.push(round(WORKLOADS[1], System::Ours, index as u32, done * 3, 10.0));
        samples.push(round(WORKLOADS[1], System::Tarpc, index as u32, done * 2, 20.0));
    }
    let ratio = samples.ratio(&[System::Tarpc], Figure::Throughput).expect("both were measured");
    assert_eq!(ratio, Ratio { median: 1.5, least: 1.5, most: 1.5 });
    assert_eq!(samples.ratio(&[System::TonicTls], Figure::Throughput), None);
    assert_eq!(samples.median(System::Tarpc, Figure::Throughput), Some(2000.0));
    assert_eq!(samples.median(System::Tarpc, Figure::ClientCpu), Some(250.0));
    assert_eq!(samples.median(System::TonicTcp, Figure::P50), None);
}

#[test]
fn ours_is_compared_with_the_better_one_of_each_round() {
    let mut samples = Samples::new(WORKLOADS[0]);
    for (index, stream, lane) in [(0, 50.0, 100.0), (1, 100.0, 40.0)] {
        samples.push(round(WORKLOADS[0], System::Ours, index, 1, 100.0));
        samples.push(round(WORKLOADS[0], System::BareStream, index, 1, stream));
        samples.push(round(WORKLOADS[0], System::BareLane, index, 1, lane));
    }
    let both = [System::BareStream, System::BareLane];
    let ratio = samples.ratio(&both, Figure::P50).expect("all were measured");
    assert_eq!(ratio, Ratio { median: 2.25, least: 2.0, most: 2.5 });
    assert_eq!(samples.ratio(&both, Figure::Throughput).expect("all were measured").median, 1.0);
}

#[test]
fn a_system_that_failed_is_forgotten() {
    let mut samples = Samples::new(WORKLOADS[1]);
    samples.push(round(WORKLOADS[1], System::Ours, 0, 1, 1.0));
    samples.push(round(WORKLOADS[1], System::Tarpc, 0, 1, 1.0));
    samples.remove(System::Tarpc);
    assert_eq!(samples.iter().count(), 1);
}
