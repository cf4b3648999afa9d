//! The network itself: without rpcnet.

use std::{fs, time::Duration};

use rpcnet_tests::{
    netbed::{Bed, Topology, sweep},
    process::{Process, Told},
    weather::Weather,
};
use rustix::process::Signal;
use tokio::process::Command;

use super::place::{Lines, PATIENCE, PROGRAM, run, start};

const MS: Duration = Duration::from_millis(1);

/// An echo at this port of the host that listens.
async fn echo(bed: &Bed, host: &str, port: u16) -> Process<Told> {
    let mut echo = start::<Told>(bed, host, "echo", &format!("echo 0.0.0.0:{port}"));
    echo.told_within(PATIENCE, |told| told.listening.is_some()).await.expect("it listens");
    echo
}

/// The numbers that came back, each with how many milliseconds after the first was sent.
fn replies(lines: &Lines) -> Vec<(u32, u64)> {
    let reply = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    lines.of("reply").map(|line| reply(line).expect("a number and a time")).collect()
}

#[tokio::test]
async fn hosts_reach_each_other_by_name_and_see_each_others_addresses() {
    let topology =
        Topology::new(["a", "b", "c"]).with_silent("dead").with_name("all", ["dead", "a", "b", "c"]);
    let Some(bed) = topology.start() else { return };
    let _echo = echo(&bed, "b", 7500).await;
    for (host, addr) in [("a", "10.77.0.1"), ("b", "10.77.0.2"), ("c", "10.77.0.3")] {
        let told =
            run(&bed, host, &format!("send-{host}"), "send b:7500 --from-port 7509 --expect 1 --wait 10000")
                .await;
        let seen: Vec<_> = told.of("reply").collect();
        assert!(seen.len() == 1 && seen[0].ends_with(&format!(" {addr}:7509")), "{told:?}");
    }
    // As the C library sorts them: the own address first, the others in their order.
    let told = run(&bed, "b", "resolve", "resolve all").await;
    assert_eq!(told.of("resolved").collect::<Vec<_>>(), ["10.77.0.2 10.77.1.1 10.77.0.1 10.77.0.3"]);
    let told = run(&bed, "a", "nobody", "resolve localhost").await;
    assert_eq!(told.of("resolved").collect::<Vec<_>>(), ["127.0.0.1"]);
    // Nobody else is asked, and nothing waits for one.
    let told = run(&bed, "a", "resolve-nobody", "resolve nobody.example").await;
    assert_eq!(told.of("resolved").collect::<Vec<_>>(), ["nothing"]);

    bed.set_name("a", "all", ["c", "::1"]);
    let told = run(&bed, "a", "resolve-again", "resolve all").await;
    let found: Vec<_> = told.of("resolved").flat_map(|line| line.split(' ')).collect();
    assert!(found.len() == 2 && found.contains(&"10.77.0.3") && found.contains(&"::1"), "{told:?}");
    let told = run(&bed, "c", "resolve-there", "resolve all").await;
    assert_eq!(told.of("resolved").collect::<Vec<_>>(), ["10.77.0.3 10.77.1.1 10.77.0.1 10.77.0.2"]);
}

#[tokio::test]
async fn a_silent_address_is_silent_and_a_port_without_a_server_refuses() {
    let Some(bed) = Topology::new(["a", "b"]).with_silent("dead").start() else { return };
    // Several datagrams: a refusal is told of an earlier one, and ends it.
    for (to, count, refused) in [("dead:7500", 2, false), ("b:7501", 100, true), ("b:9999", 2, false)] {
        let told = run(&bed, "a", to, &format!("send {to} --count {count} --pause 100")).await;
        assert_eq!(told.of("refused").count() > 0, refused, "{to}: {told:?}");
        assert_eq!(told.of("reply").count(), 0, "{to}: {told:?}");
    }
}

#[tokio::test]
async fn weather_is_as_it_is_set_in_each_direction() {
    let topology = Topology::new(["a", "b"]);
    let slow = Weather { delay: 40 * MS, ..Weather::FAIR };
    let Some(bed) = topology.with_weather("a", "b", slow).start() else { return };
    let _echo = echo(&bed, "b", 7500).await;
    let send = async |name: &str, arguments: &str| {
        replies(&run(&bed, "a", name, &format!("send b:7500 {arguments}")).await)
    };

    let late = send("both", "--expect 1 --wait 10000").await;
    assert!(late.len() == 1 && late[0].1 >= 80, "{late:?}");
    bed.set_weather("b", "a", Weather::FAIR);
    bed.set_weather("a", "b", Weather { duplicated: 1.0, ..Weather::FAIR });
    let numbers: Vec<_> = send("twice", "--count 3 --pause 20 --expect 6 --wait 10000")
        .await
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(numbers, [0, 0, 1, 1, 2, 2]);

    bed.set_weather("a", "b", Weather { loss: 0.5, ..Weather::FAIR });
    let before = bed.traffic("a", "b");
    let came = send("half", "--count 200 --wait 1500").await.len() as u64;
    assert!((50..150).contains(&came), "{came}");
    let traffic = bed.traffic("a", "b");
    assert_eq!(traffic.packets - before.packets, 200);
    assert_eq!(traffic.lost - before.lost, 200 - came);
    assert_eq!(traffic.bytes - before.bytes, 200 * 16);

    // A packet takes 20 ms, and waits for 250 ms at most.
    bed.set_weather("a", "b", Weather { bandwidth: Some(50_000), ..Weather::FAIR });
    let narrow = send("narrow", "--count 60 --size 1000 --wait 1500").await;
    assert!((10..60).contains(&narrow.len()), "{narrow:?}");
    let bound = narrow.iter().zip(1..).all(|((_, late), packets)| *late >= packets * 20);
    assert!(bound, "{narrow:?}");

    bed.set_weather("a", "b", Weather { reordered: 0.3, ..Weather::FAIR });
    let numbers: Vec<_> = send("reordered", "--count 50 --expect 50 --wait 10000")
        .await
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(numbers.len(), 50);
    assert!(!numbers.is_sorted(), "{numbers:?}");

    bed.set_weather("a", "b", Weather::CUT);
    assert_eq!(send("cut", "").await, []);
}

#[tokio::test]
async fn an_unplugged_host_hears_nothing_until_it_is_plugged_in() {
    let Some(bed) = Topology::new(["a", "b"]).start() else { return };
    let _echo = echo(&bed, "b", 7500).await;
    for (name, plugged) in [("before", true), ("without", false), ("after", true)] {
        if plugged {
            bed.plug("b")
        } else {
            bed.unplug("b")
        }
        let wait = if plugged { "--expect 1 --wait 10000" } else { "" };
        let told = run(&bed, "a", name, &format!("send b:7500 {wait}")).await;
        assert_eq!(told.of("reply").count(), usize::from(plugged), "{name}");
    }
}

#[tokio::test]
async fn a_pinned_flow_is_dropped_and_another_port_gets_through() {
    let Some(bed) = Topology::new(["a", "b"]).start() else { return };
    let _echo = echo(&bed, "b", 7500).await;
    let send = async |name: &str, arguments: &str| {
        run(&bed, "a", name, &format!("send b:7500 {arguments}")).await.of("reply").count()
    };
    assert_eq!(send("first", "--from-port 40001 --expect 1 --wait 10000").await, 1);
    assert_eq!(bed.pin("a", "b"), 1);
    assert_eq!(send("pinned", "--from-port 40001").await, 0);
    assert_eq!(send("other", "--from-port 40002 --expect 1 --wait 10000").await, 1);
}

#[tokio::test]
async fn beds_with_the_same_addresses_do_not_meet() {
    let topology = Topology::new(["a", "b"]);
    let (Some(one), Some(other)) = (topology.clone().start(), topology.start()) else { return };
    let _echo = echo(&one, "b", 7500).await;
    assert_eq!(run(&other, "a", "send", "send b:7500").await.of("reply").count(), 0);
    assert_eq!(run(&one, "a", "send", "send b:7500 --expect 1 --wait 10000").await.of("reply").count(), 1);
}

/// The namespaces and files of this process' beds.
fn left(pid: u32) -> Vec<String> {
    let places = ["/var/run/netns".into(), "/etc/netns".into(), std::env::temp_dir()];
    let entries = places.into_iter().flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten());
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&format!("rpcnetbed-{pid}-"))).collect()
}

#[tokio::test]
async fn a_bed_is_removed_when_it_is_dropped_and_swept_when_its_process_was_killed() {
    let Some(bed) = Topology::new(["a"]).start() else { return };
    let mut command = Command::new(PROGRAM);
    command.arg("bed");
    let mut killed = Process::<Lines>::start(command, &bed.directory().join("killed.log")).unwrap();
    killed
        .told_within(PATIENCE, |lines| lines.of("made").count() == 1)
        .await
        .expect("namespaces are permitted");
    let pid = killed.pid();
    sweep();
    assert_eq!(left(pid).len(), 4, "two namespaces, the files of one, a directory: {:?}", left(pid));
    killed.signal(Signal::KILL).unwrap();
    assert!(killed.end(PATIENCE).await.unwrap().is_some());
    sweep();
    assert_eq!(left(pid), [""; 0]);

    let name = bed.directory().file_name().unwrap().to_string_lossy().into_owned();
    let own = |names: Vec<String>| names.iter().filter(|own| own.starts_with(&name)).count();
    assert_eq!(own(left(std::process::id())), 4);
    drop(bed);
    assert_eq!(own(left(std::process::id())), 0);
}

#[tokio::test]
async fn without_namespaces_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut command = Command::new(PROGRAM);
    // Without the program that makes them.
    command.arg("bed").env("PATH", "/nowhere");
    let ended = Process::<Lines>::start(command, &log).unwrap().end(PATIENCE).await.unwrap();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    let told = fs::read_to_string(log).unwrap();
    assert!(told.starts_with("skipped, for want of network namespaces: "), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}
