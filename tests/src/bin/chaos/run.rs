//! One run: overture, storms with their calms, and what was found.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    ops::Range,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rpcnet::dev::{DevCa, DevCert};
use rpcnet_benches::Failure;
use rpcnet_cluster::ClusterChannel;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    Flags,
    checks::{self, Findings},
    faults,
    journal::Journal,
    ledger::Executions,
    load::{Load, Outcome},
    pulse::{self, Pulse},
    resources::{Growth, Sampling},
    schedule::{OVERTURE, RECOVERY, Schedule},
    stage::Stage,
};

/// All nodes list all nodes so long after the last fault, or the cluster has not healed. Who is held down is told so
/// when seeds are asked (every 30 s, and a fifth more), and a false suspicion that nobody confirms lasts 15 s; what is
/// left of the minute is for probes and for a machine with much to do.
pub(crate) const HEALED: Duration = Duration::from_secs(60);
/// Calls that begin so long after the last fault do not fail: a connection that was cut off is given up after 3 s of
/// silence, and all others are dialled by then.
const SETTLED: Duration = Duration::from_secs(5);
/// Processes that are younger at the end are not asked whether they have grown.
const GROWN: Duration = Duration::from_secs(20);
/// The interval between two looks whether all have healed.
const LOOK: Duration = Duration::from_millis(50);

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Outcomes {
    pub(crate) findings: Findings,
    /// Quiet times in which the runner stood still: they tell nothing.
    pub(crate) not_judged: usize,
    /// The longest time for which the runner stood still.
    pub(crate) stalled: Duration,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Processes that ended otherwise than they were told to.
    pub(crate) broken: Vec<String>,
    /// Lines on stderr that tell of a panic.
    pub(crate) panics: Vec<String>,
    /// Members that did not list each other when the time to heal was over.
    pub(crate) unhealed: Vec<String>,
    /// The longest time to heal.
    pub(crate) healed: Duration,
    pub(crate) growths: Vec<Growth>,
    /// For people: what happened, and when.
    pub(crate) journal: Vec<String>,
}

/// Runs one seed in this directory.
pub(crate) async fn run(flags: &Flags, seed: u64, directory: &Path) -> Result<Outcomes, Failure> {
    let zero = Instant::now();
    let journal = Arc::new(Journal::new());
    let ca = DevCa::generate()?;
    let stage = Arc::new(Stage::open(flags.cast(), &ca, directory, journal.clone()).await?);
    let mut unhealed = healed(&stage, zero).await.err().unwrap_or_default();
    let DevCert { cert, key } = ca.issue("client")?;
    let channel = ClusterChannel::builder()
        .with_directors(stage.directors().iter().map(ToString::to_string))
        .with_ca_cert(ca.ca_pem())?
        .with_cert_and_key(cert, key)?
        .connect()
        .await?;
    let load = Load::start(&channel, seed, flags.rate, zero);
    let sampling = Sampling::start(stage.clone());
    let pulse = Pulse::start(zero);
    journal.note("the load begins".into());
    let mut outcomes = Storms::play(flags, seed, &stage, zero).await?;
    unhealed.append(&mut outcomes.unhealed);
    let calls = load.stop().await?;
    journal.note("the load has ended".into());
    let end = journal.now();
    let samples = sampling.stop().await?;
    let stalls = pulse.stop().await?;
    let quiet = pulse::without(&outcomes.quiet, &stalls);
    let stalled = stalls.iter().map(|stall| stall.length).max().unwrap_or_default();
    fs::write(directory.join("journal"), journal.told().join("\n"))?;
    let failures: Vec<_> = calls.iter().filter_map(Outcome::failure).collect();
    fs::write(directory.join("failures"), failures.join("\n"))?;
    let growths = samples.growths(GROWN, end);
    let told: Vec<_> = growths.iter().map(ToString::to_string).collect();
    fs::write(directory.join("growths"), told.join("\n"))?;
    let executions = Executions::read(&stage.ledgers())?;
    Ok(Outcomes {
        findings: checks::check(&calls, &executions, &quiet, stalled),
        not_judged: outcomes.quiet.len() - quiet.len(),
        stalled,
        faults: outcomes.faults,
        broken: outcomes.broken,
        panics: panics(directory)?,
        unhealed,
        healed: outcomes.healed,
        growths,
        journal: journal.told(),
    })
}

/// Data gathered while storms pass.
#[derive(Default)]
struct Storms {
    faults: BTreeMap<&'static str, u64>,
    broken: Vec<String>,
    unhealed: Vec<String>,
    healed: Duration,
    quiet: Vec<Range<Duration>>,
}

impl Storms {
    async fn play(flags: &Flags, seed: u64, stage: &Arc<Stage>, zero: Instant) -> Result<Self, Failure> {
        let journal = &stage.journal;
        let mut all = Self::default();
        let mut schedule = Schedule::new(seed, stage.cast, Duration::from_secs(flags.seconds));
        if !flags.faults.is_empty() {
            schedule = schedule.only(&flags.faults);
        }
        // Connections are made in the first second.
        sleep(RECOVERY / 2).await;
        let from = journal.now();
        sleep(OVERTURE - RECOVERY / 2).await;
        all.quiet.push(from..journal.now());
        for (number, storm) in schedule.storms.iter().enumerate() {
            let count = schedule.storms.len();
            say(&format!("seed {seed}: storm {} of {count}, {} faults", number + 1, storm.faults.len()));
            journal.note(format!("storm {} begins", number + 1));
            let played = faults::play(stage, storm).await?;
            let over = Instant::now();
            journal.note("all faults are over".into());
            for (kind, times) in played.faults {
                *all.faults.entry(kind).or_default() += times;
            }
            all.broken.extend(played.broken);
            match healed(stage, over).await {
                Ok(took) => {
                    journal.note(format!("all nodes list all nodes, after {:.2} s", took.as_secs_f64()));
                    all.healed = all.healed.max(took);
                }
                Err(wrong) => {
                    all.healed = all.healed.max(HEALED);
                    wrong.iter().for_each(|line| journal.note(format!("NOT HEALED: {line}")));
                    all.unhealed.extend(wrong);
                }
            }
            sleep_until(over + storm.calm.max(SETTLED * 2)).await;
            all.quiet.push(over + SETTLED - zero..journal.now());
        }
        for index in 0..stage.cast.len() {
            if let Some(status) = stage.node(index).lock().await.has_failed() {
                all.broken.push(format!("{}: {status}", stage.cast.label(index)));
            }
        }
        Ok(all)
    }
}

/// Waits until all nodes list all nodes: how long after `since`, or what was still wrong when the time was over.
async fn healed(stage: &Stage, since: Instant) -> Result<Duration, Vec<String>> {
    loop {
        let wrong = stage.disagreements().await;
        if wrong.is_empty() {
            return Ok(since.elapsed());
        }
        if since.elapsed() >= HEALED {
            return Err(wrong);
        }
        sleep(LOOK).await;
    }
}

/// Lines of the processes' logs that tell of a panic.
fn panics(directory: &Path) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let log = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        found.extend(
            log.lines().filter(|line| line.contains("panicked")).map(|line| format!("{name}: {line}")),
        );
    }
    Ok(found)
}

/// Tells whoever waits how far it is.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
