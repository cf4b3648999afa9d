//! The cluster's part of a server's metrics.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::swim::{Member, MemberState};

/// | name | labels | what |
/// |---|---|---|
/// | `cluster_healthy_workers` | | nodes with `role=worker` that are alive |
/// | `cluster_nodes` | `state` | known nodes, this one among them |
/// | `cluster_snapshot_failures_total` | `operation` | snapshots that could not be read or written |
/// | `gossip_dials_total` | | gossip connections that this node has dialled |
/// | `gossip_dropped_total` | `reason` | gossip packets that were not sent or not taken in |
#[derive(Debug, Clone)]
pub(crate) struct ClusterMetrics {
    healthy_workers: IntGauge,
    nodes: IntGaugeVec,
    snapshot_failures: IntCounterVec,
    dials: IntCounter,
    dropped: IntCounterVec,
}

impl ClusterMetrics {
    /// Registers them. Where a registry has them already (which takes two clusters on one server), nothing is shown
    /// of the later ones.
    pub(crate) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            healthy_workers: IntGauge::new(
                "cluster_healthy_workers",
                "Nodes with role=worker that are alive.",
            )
            .expect("a valid name"),
            nodes: IntGaugeVec::new(
                Opts::new("cluster_nodes", "Known nodes by state, this one among them."),
                &["state"],
            )
            .expect("a valid name"),
            snapshot_failures: IntCounterVec::new(
                Opts::new(
                    "cluster_snapshot_failures_total",
                    "Snapshots that could not be read (and were set aside) or written.",
                ),
                &["operation"],
            )
            .expect("a valid name"),
            dials: IntCounter::new("gossip_dials_total", "Gossip connections that this node has dialled.")
                .expect("a valid name"),
            dropped: IntCounterVec::new(
                Opts::new("gossip_dropped_total", "Gossip packets that were not sent or not taken in."),
                &["reason"],
            )
            .expect("a valid name"),
        };
        let collectors: [Box<dyn prometheus::core::Collector>; 5] = [
            Box::new(metrics.healthy_workers.clone()),
            Box::new(metrics.nodes.clone()),
            Box::new(metrics.snapshot_failures.clone()),
            Box::new(metrics.dials.clone()),
            Box::new(metrics.dropped.clone()),
        ];
        for collector in collectors {
            let _ = registry.register(collector);
        }
        metrics
    }

    pub(crate) fn dialled(&self) {
        self.dials.inc();
    }

    pub(crate) fn snapshot_failed(&self, operation: &str) {
        self.snapshot_failures.with_label_values(&[operation]).inc();
    }

    pub(crate) fn dropped(&self, reason: &str) {
        self.dropped.with_label_values(&[reason]).inc();
    }

    pub(crate) fn view<'a>(&self, members: impl Iterator<Item = &'a Member>) {
        let mut counts = [0i64; 4];
        let mut healthy = 0;
        for member in members {
            counts[index(member.state())] += 1;
            healthy += i64::from(crate::registry::is_healthy_worker(member));
        }
        self.healthy_workers.set(healthy);
        for (state, count) in ["alive", "suspect", "down", "left"].iter().zip(counts) {
            self.nodes.with_label_values(&[*state]).set(count);
        }
    }
}

fn index(state: MemberState) -> usize {
    match state {
        MemberState::Alive => 0,
        MemberState::Suspect => 1,
        MemberState::Down => 2,
        MemberState::Left => 3,
    }
}
