//! Hosts that fail, and the binaries that users run on theirs.

use std::time::Duration;

use rpcnet_tests::{netbed::Topology, process::Process};
use tokio::time::Instant;

use super::place::{HOSTS, Lines, PATIENCE, Place, WHOLE, run, say, start};

#[tokio::test]
async fn a_host_that_is_cut_off_is_missed_and_another_takes_its_place() {
    let Some(mut place) = Place::of_one_name().await else { return };
    let mut client = place.client("a", "client", "direct repeat --to cluster:7500 --call-timeout 1000");
    client.told_within(PATIENCE, |told| told.of("answered").count() > 5).await.expect("it is answered");

    place.bed.unplug("c");
    let cut = Instant::now();
    place.whole_without("c", cut + Duration::from_secs(20)).await;
    say(format_args!("missed {:?} after the cut", cut.elapsed()));
    // Calls go to the workers that are left, and none fails any more.
    let told = client.told();
    let (failed, answered) = (told.of("failed").count(), told.of("answered").count());
    let going_on = |told: &Lines| told.of("answered").count() > answered + 20;
    let told = client.told_within(PATIENCE, going_on).await.expect("calls go on");
    assert_eq!(told.of("failed").count(), failed, "{told:?}");
    assert!(failed <= 3, "while the host was not missed yet: {told:?}");

    place.kill("director-c-7500").await;
    place.kill("worker-c-7501").await;
    place.bed.plug("c");
    let replaced = Instant::now();
    place.start_at_host("director", "c", 7500, "cluster:7500");
    place.start_at_host("worker", "c", 7501, "cluster:7500");
    place.whole_by(replaced + WHOLE, "5 s after the host was replaced").await;
    say(format_args!("whole {:?} after the host was replaced", replaced.elapsed()));
}

#[tokio::test]
async fn the_binaries_count_words_in_a_cluster_of_one_name() {
    let topology = Topology::new(HOSTS).with_name("cluster", HOSTS);
    let Some(place) = Place::new(topology) else { return };
    let bed = &place.bed;
    let text = bed.directory().join("text");
    std::fs::write(&text, "one two two three three three\n").expect("the bed's directory is writable");
    let certificates = |name: &str| format!("--cert-dir {}", place.certificates(name).display());
    let mut nodes: Vec<Process<Lines>> = Vec::new();
    for host in HOSTS {
        let (director, worker) = (format!("director-{host}"), format!("worker-{host}"));
        let arguments = format!("--addr 0.0.0.0:7500 --seed-nodes cluster:7500 {}", certificates(&director));
        nodes.push(start(bed, host, &director, &format!("word-count director {arguments}")));
        let arguments = format!("--addr 0.0.0.0:7501 --director-addr cluster:7500 {}", certificates(&worker));
        nodes.push(start(bed, host, &worker, &format!("word-count worker --label {worker} {arguments}")));
    }
    for node in &mut nodes {
        let listening = |told: &Lines| told.of("listening").count() == 1;
        node.told_within(PATIENCE, listening).await.expect("it listens");
    }
    let arguments = format!("{} --director-addr cluster:7500 {}", text.display(), certificates("client"));
    let began = Instant::now();
    let told = run(bed, "b", "client", &format!("word-count client {arguments}")).await;
    let counts: Vec<_> =
        told.0.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(counts, ["3 three", "2 two", "1 one"]);
    assert!(began.elapsed() < WHOLE, "{:?}", began.elapsed());
}
