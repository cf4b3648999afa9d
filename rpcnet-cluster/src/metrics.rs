//! The metrics of a node, in its server's registry.

use std::{collections::BTreeSet, time::Duration};

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};

use crate::{
    swim::{Member, MemberState, Statistics, packet_kind},
    tags::is_healthy_worker,
};

/// The metrics of a node.
///
/// | name | labels | meaning |
/// |---|---|---|
/// | `cluster_healthy_workers` | | nodes with `role=worker` that are alive |
/// | `cluster_nodes` | `state` | known nodes, this one among them |
/// | `cluster_joined` | | 1 while this node is in its cluster: it knows other nodes, or has no seeds other than itself; else 0 |
/// | `cluster_join_failures_total` | `reason` | failures to join through a seed or one of its addresses: unresolvable, unreachable, certificate, cluster (another one), version (none in common), refused (the seed logs the reason), other |
/// | `cluster_events_total` | `event` | events: joined, suspect (a suspicion was raised), recovered (it was refuted), failed, left, moved (to another address), tags, renewed (this node refuted its own death), conflict, partition, healed |
/// | `cluster_snapshot_failures_total` | `operation` | snapshots that could not be read or written |
/// | `gossip_dials_total` | | gossip connections that this node has dialled |
/// | `gossip_dropped_total` | `reason` | gossip packets and connections that were not sent or not taken in |
/// | `gossip_oversize_total` | | packets that went on streams because the path limits datagrams to a smaller size |
/// | `gossip_packets_total`, `gossip_bytes_total` | `direction`, `kind` | packets sent and received, and their payload |
/// | `gossip_messages_sent_total` | `message` | packets of kind `gossip` by message; `ping` is a probe, `ping_request` asks others to probe after a failure |
/// | `gossip_probes_failed_total` | | probes without an answer, neither directly nor through others |
/// | `gossip_suspicions_raised_total` | | suspicions that this node raised because of failed probes |
/// | `gossip_syncs_total` | | comparisons of whole views (anti-entropy) that this node began |
/// | `gossip_fetched_total` | `what` | members and records that comparisons brought |
/// | `gossip_agreement_age_seconds` | | time since a peer's view was last found equal; -1 before |
/// | `gossip_broadcast_lag_seconds` | | time from a broadcast's origin to its arrival here, by both nodes' clocks |
/// | `gossip_queue` | `queue` | length of the queue |
/// | `gossip_links` | | connections that can be sent on |
/// | `gossip_rtt_seconds` | `peer` | the round-trip time to each linked peer |
#[derive(Debug, Clone)]
pub(crate) struct ClusterMetrics {
    healthy_workers: IntGauge,
    nodes: IntGaugeVec,
    joined: IntGauge,
    join_failures: IntCounterVec,
    events: IntCounterVec,
    snapshot_failures: IntCounterVec,
    dials: IntCounter,
    dropped: IntCounterVec,
    oversize: IntCounter,
    packets: IntCounterVec,
    bytes: IntCounterVec,
    messages: IntCounterVec,
    probes_failed: IntCounter,
    suspicions_raised: IntCounter,
    syncs: IntCounter,
    fetched: IntCounterVec,
    agreement_age: GaugeVec,
    broadcast_lag: Histogram,
    queue: IntGaugeVec,
    links: IntGauge,
    rtt: GaugeVec,
}

const VALID: &str = "a valid name";

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect(VALID)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(VALID)
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect(VALID)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect(VALID)
}

fn fractions(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    GaugeVec::new(Opts::new(name, help), labels).expect(VALID)
}

impl ClusterMetrics {
    /// Registers the metrics. If a registry has them already (which takes two clusters on one server), the later ones are not
    /// shown.
    pub(crate) fn new(registry: &Registry) -> Self {
        let lag = HistogramOpts::new(
            "gossip_broadcast_lag_seconds",
            "From the making of a broadcast to its arrival here, by both nodes' clocks.",
        );
        let lag = lag.buckets(vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]);
        let metrics = Self {
            healthy_workers: gauge("cluster_healthy_workers", "Nodes with role=worker that are alive."),
            nodes: gauges("cluster_nodes", "Known nodes by state, this one among them.", &["state"]),
            joined: gauge("cluster_joined", "1 while this node is in its cluster, else 0."),
            join_failures: counters(
                "cluster_join_failures_total",
                "Seeds, and addresses of seeds, that did not let this node in.",
                &["reason"],
            ),
            events: counters("cluster_events_total", "What has happened to nodes.", &["event"]),
            snapshot_failures: counters(
                "cluster_snapshot_failures_total",
                "Snapshots that could not be read (and were set aside) or written.",
                &["operation"],
            ),
            dials: counter("gossip_dials_total", "Gossip connections that this node has dialled."),
            dropped: counters(
                "gossip_dropped_total",
                "Gossip packets and connections that were not sent or not taken in.",
                &["reason"],
            ),
            oversize: counter(
                "gossip_oversize_total",
                "Gossip packets that went on streams because the path takes only smaller datagrams.",
            ),
            packets: counters(
                "gossip_packets_total",
                "Gossip packets sent and received.",
                &["direction", "kind"],
            ),
            bytes: counters(
                "gossip_bytes_total",
                "Payload of gossip packets in bytes.",
                &["direction", "kind"],
            ),
            messages: counters(
                "gossip_messages_sent_total",
                "Packets of kind gossip by what they are.",
                &["message"],
            ),
            probes_failed: counter(
                "gossip_probes_failed_total",
                "Probes that got no answer, neither directly nor through others.",
            ),
            suspicions_raised: counter(
                "gossip_suspicions_raised_total",
                "Suspicions that this node raised because a probe of its own failed.",
            ),
            syncs: counter("gossip_syncs_total", "Comparisons of all that is known, begun by this node."),
            fetched: counters(
                "gossip_fetched_total",
                "Members and records that comparisons brought.",
                &["what"],
            ),
            agreement_age: fractions(
                "gossip_agreement_age_seconds",
                "Time since a peer was last found to know the same; -1 before.",
                &[],
            ),
            broadcast_lag: Histogram::with_opts(lag).expect(VALID),
            queue: gauges("gossip_queue", "What is waiting.", &["queue"]),
            links: gauge("gossip_links", "Gossip connections that can be sent on."),
            rtt: fractions("gossip_rtt_seconds", "The round trip to a peer.", &["peer"]),
        };
        for collector in metrics.collectors() {
            let _ = registry.register(collector);
        }
        metrics
    }

    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.healthy_workers.clone()),
            Box::new(self.nodes.clone()),
            Box::new(self.joined.clone()),
            Box::new(self.join_failures.clone()),
            Box::new(self.events.clone()),
            Box::new(self.snapshot_failures.clone()),
            Box::new(self.dials.clone()),
            Box::new(self.dropped.clone()),
            Box::new(self.oversize.clone()),
            Box::new(self.packets.clone()),
            Box::new(self.bytes.clone()),
            Box::new(self.messages.clone()),
            Box::new(self.probes_failed.clone()),
            Box::new(self.suspicions_raised.clone()),
            Box::new(self.syncs.clone()),
            Box::new(self.fetched.clone()),
            Box::new(self.agreement_age.clone()),
            Box::new(self.broadcast_lag.clone()),
            Box::new(self.queue.clone()),
            Box::new(self.links.clone()),
            Box::new(self.rtt.clone()),
        ]
    }

    pub(crate) fn dialled(&self) {
        self.dials.inc();
    }

    pub(crate) fn joined(&self, joined: bool) {
        self.joined.set(joined.into());
    }

    pub(crate) fn join_failed(&self, reason: &str) {
        self.join_failures.with_label_values(&[reason]).inc();
    }

    pub(crate) fn snapshot_failed(&self, operation: &str) {
        self.snapshot_failures.with_label_values(&[operation]).inc();
    }

    pub(crate) fn dropped(&self, reason: &str) {
        self.dropped.with_label_values(&[reason]).inc();
    }

    pub(crate) fn oversize(&self) {
        self.oversize.inc();
    }

    pub(crate) fn happened(&self, event: &str) {
        self.events.with_label_values(&[event]).inc();
    }

    pub(crate) fn sent(&self, packet: &[u8]) {
        self.packet("sent", packet);
    }

    pub(crate) fn received(&self, packet: &[u8]) {
        self.packet("received", packet);
    }

    fn packet(&self, direction: &str, packet: &[u8]) {
        let labels = [direction, packet_kind(packet)];
        self.packets.with_label_values(&labels).inc();
        self.bytes.with_label_values(&labels).inc_by(packet.len() as u64);
    }

    pub(crate) fn broadcast_arrived(&self, after: Duration) {
        self.broadcast_lag.observe(after.as_secs_f64());
    }

    pub(crate) fn view<'a>(&self, members: impl Iterator<Item = &'a Member>) {
        let mut counts = [0i64; 4];
        let mut healthy = 0;
        for member in members {
            counts[index(member.state())] += 1;
            healthy += i64::from(is_healthy_worker(member));
        }
        self.healthy_workers.set(healthy);
        for (state, count) in ["alive", "suspect", "down", "left"].iter().zip(counts) {
            self.nodes.with_label_values(&[*state]).set(count);
        }
    }

    /// Raises the counters to the node's own counts since it was made. A node that is made anew under its learnt address begins
    /// at zero, and the counters stay until it has caught up.
    pub(crate) fn statistics(&self, node: &Statistics, now: std::time::Instant) {
        for (message, count) in &node.messages {
            raise(&self.messages.with_label_values(&[*message]), *count);
        }
        raise(&self.probes_failed, node.probes_failed);
        raise(&self.suspicions_raised, node.suspicions_raised);
        raise(&self.syncs, node.syncs);
        raise(&self.fetched.with_label_values(&["members"]), node.members_fetched);
        raise(&self.fetched.with_label_values(&["records"]), node.records_fetched);
        let age = node.agreed.map_or(-1.0, |agreed| now.saturating_duration_since(agreed).as_secs_f64());
        self.agreement_age.with_label_values::<&str>(&[]).set(age);
        self.waiting("updates", node.updates_waiting);
        self.waiting("records", node.records_waiting);
        self.waiting("broadcasts", node.broadcasts_waiting);
        self.waiting("timers", node.timers);
    }

    pub(crate) fn waiting(&self, queue: &str, length: usize) {
        self.queue.with_label_values(&[queue]).set(length as i64);
    }

    /// Sets the round-trip times to the linked peers. `shown` are the peers whose times were shown before.
    pub(crate) fn links(&self, rtts: &[(String, Duration)], shown: &mut BTreeSet<String>) {
        self.links.set(rtts.len() as i64);
        let peers: BTreeSet<String> = rtts.iter().map(|(peer, _)| peer.clone()).collect();
        for gone in shown.difference(&peers) {
            let _ = self.rtt.remove_label_values(&[gone.as_str()]);
        }
        for (peer, rtt) in rtts {
            self.rtt.with_label_values(&[peer.as_str()]).set(rtt.as_secs_f64());
        }
        *shown = peers;
    }
}

fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn index(state: MemberState) -> usize {
    match state {
        MemberState::Alive => 0,
        MemberState::Suspect => 1,
        MemberState::Down => 2,
        MemberState::Left => 3,
    }
}
