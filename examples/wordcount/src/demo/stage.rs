//! The run itself: processes, script, the client's reports, display, and result.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, anyhow};
use rpcnet::dev::DevCa;
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior};

use super::{
    DemoArgs,
    cast::{Actor, Casting},
    script::{Act, DIRECTORS, FRESH, KILLED, STOPPED, Script, WORKERS},
};
use crate::{
    ClientLine, DemoReport, Display, Done, Happening, MemberState, Rate, Role, RollingReport, Snapshot,
    Tally, Tone,
    roles::{RoleError, print, say},
    unix_micros,
};

pub(super) const FRAME: Duration = Duration::from_millis(100);
/// The seconds for which a client counts that is told when to end: longer than any rolling restart.
const UNTIL_TOLD: u64 = 24 * 60 * 60;
/// The time that a process has to end after it was told to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// A run.
pub(super) struct Stage<'a> {
    pub(super) args: &'a DemoArgs,
    pub(super) ca: DevCa,
    directory: TempDir,
    pub(super) directors: Vec<String>,
    pub(super) actors: Vec<Actor>,
    display: Display,
    snapshot: Snapshot,
    pub(super) tally: Tally,
    calls: Rate,
    bytes: Rate,
    /// The time at which each act was played.
    played: BTreeMap<&'static str, SystemTime>,
    started: Instant,
    pub(super) failed: bool,
}

impl<'a> Stage<'a> {
    /// Runs the whole demo. Returns whether it succeeded.
    pub(super) async fn run(args: &'a DemoArgs) -> Result<bool, RoleError> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let mut stage = Self {
            args,
            ca: DevCa::generate().context("no development CA")?,
            directory,
            directors: Vec::new(),
            actors: Vec::new(),
            display: Display::new(args.json),
            snapshot: Snapshot {
                title: args.input().display().to_string(),
                total: args.length(),
                ..Snapshot::default()
            },
            tally: Tally::default(),
            calls: Rate::new(),
            bytes: Rate::new(),
            played: BTreeMap::new(),
            started: Instant::now(),
            failed: false,
        };
        let played = async {
            stage.open().await?;
            if args.rolling_restart {
                let (done, report) = stage.roll().await?;
                return Ok((done, Some(report)));
            }
            Ok((stage.play().await?, None))
        };
        let (done, rolling) = match played.await {
            Ok(played) => played,
            Err(error) => {
                let Self { display, snapshot, .. } = stage;
                // The display gives the terminal back before the error is printed.
                let _ = display.finish(&snapshot);
                return Err(RoleError::Failed(error));
            }
        };
        stage.close().await;
        Ok(match rolling {
            Some(rolling) => stage.report_rolling(&rolling)?,
            None => stage.report(&done)?,
        })
    }

    pub(super) fn casting(&self) -> Casting<'_> {
        Casting { ca: &self.ca, directory: self.directory.path() }
    }

    /// Starts directors, workers and the client.
    async fn open(&mut self) -> anyhow::Result<()> {
        for number in 1..=DIRECTORS {
            let label = format!("director-{number}");
            let (director, address) = self.casting().director(&label, &self.directors).await?;
            self.directors.push(address);
            self.actors.push(director);
            self.show()?;
        }
        for number in 1..=WORKERS {
            let worker = self.casting().worker(&format!("worker-{number}"), &self.directors)?;
            self.actors.push(worker);
            self.show()?;
        }
        for actor in &mut self.actors {
            if actor.role == Role::Worker {
                actor.listens().await?;
            }
        }
        let seconds = if self.args.rolling_restart { UNTIL_TOLD } else { self.args.length().as_secs() };
        let client = self.casting().client(&self.directors, &self.args.input(), seconds)?;
        self.actors.push(client);
        self.happened(Tone::Plain, format!("started {DIRECTORS} directors, {WORKERS} workers and a client"));
        self.show()
    }

    /// Runs the script while the client counts. Returns the client's last report.
    async fn play(&mut self) -> anyhow::Result<Done> {
        let mut script = Script::new(self.args.length());
        let mut counting = None::<Instant>;
        let mut frame = tokio::time::interval(FRAME);
        frame.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let client = self.client()?;
            tokio::select! {
                line = client.process.lines.next_line() => {
                    let Some(line) = line.context("the client's report can't be read")? else {
                        return Err(anyhow!("the client ended early: {}", self.client()?.process.last_words()));
                    };
                    let line = ClientLine::parse(&line).with_context(|| format!("not a report: `{line}`"))?;
                    self.observe(&line);
                    if counting.is_none() && self.tally.chunks > 0 {
                        counting = Some(Instant::now());
                    }
                    if let ClientLine::Done(done) = line {
                        self.client()?.state = MemberState::Done;
                        self.happened(Tone::Good, "all text is counted".to_owned());
                        if !script.is_over() {
                            self.happened(Tone::Warning, "the input was counted before all could happen".to_owned());
                        }
                        return Ok(done);
                    }
                }
                _ = frame.tick() => {
                    if let Some(act) = counting.and_then(|since| script.due(since.elapsed())) {
                        self.act(act)?;
                    }
                    self.watch();
                    self.show()?;
                }
            }
        }
    }

    fn act(&mut self, act: Act) -> anyhow::Result<()> {
        match act {
            Act::Kill => {
                let worker = self.actor(KILLED)?;
                worker.state = MemberState::Killed;
                worker.process.kill()?;
                self.played.insert(KILLED, SystemTime::now());
                self.happened(Tone::Bad, format!("killed {KILLED} (SIGKILL)"));
            }
            Act::Stop => {
                let worker = self.actor(STOPPED)?;
                worker.state = MemberState::Draining;
                worker.process.terminate()?;
                self.played.insert(STOPPED, SystemTime::now());
                self.happened(Tone::Warning, format!("told {STOPPED} to stop (SIGTERM)"));
            }
            Act::Start => {
                let worker = self.casting().worker(FRESH, &self.directors)?;
                self.played.insert(FRESH, worker.started);
                // The client stays the last row.
                let place = self.actors.len().saturating_sub(1);
                self.actors.insert(place, worker);
                self.happened(Tone::Good, format!("started {FRESH}"));
            }
        }
        Ok(())
    }

    pub(super) fn observe(&mut self, line: &ClientLine) {
        let at = self.started.elapsed();
        self.tally = line.tally().clone();
        if let ClientLine::Progress(progress) = line {
            self.snapshot.p50_us = progress.p50_us;
            self.snapshot.p99_us = progress.p99_us;
        }
        self.calls.observe(at, self.tally.calls_ok);
        self.bytes.observe(at, self.tally.bytes);
        for actor in &mut self.actors {
            actor.observe(at, &self.tally);
        }
    }

    /// Notices processes that have ended.
    pub(super) fn watch(&mut self) {
        let mut news = Vec::new();
        for actor in &mut self.actors {
            let before = actor.state;
            if actor.has_failed() {
                news.push((Tone::Bad, format!("{} ended: {}", actor.label, actor.process.last_words())));
                self.failed = true;
            } else if before == MemberState::Draining && actor.state == MemberState::Left {
                news.push((Tone::Good, format!("{} has finished its calls and left", actor.label)));
            }
        }
        for (tone, text) in news {
            self.happened(tone, text);
        }
    }

    /// Stops all running processes, and waits for the ones that were stopped before.
    async fn close(&mut self) {
        for actor in &mut self.actors {
            match actor.state {
                MemberState::Draining => actor.process.end(FAREWELL).await,
                MemberState::Starting | MemberState::Up => {
                    // A process that has just ended is noticed below.
                    let _ = actor.process.terminate();
                }
                _ => {}
            }
        }
        self.watch();
        for actor in &mut self.actors {
            actor.process.end(FAREWELL).await;
        }
    }

    fn report_rolling(self, report: &RollingReport) -> anyhow::Result<bool> {
        let mut snapshot = self.snapshot;
        snapshot.members = self.actors.iter().map(Actor::row).collect();
        self.display.finish(&snapshot)?;
        if self.args.json {
            print(serde_json::to_string(report)?);
        } else {
            say("");
            say(format_args!(
                "{} workers and {} directors were restarted, the slowest was back after {} ms",
                report.workers_restarted, report.directors_restarted, report.longest_restart_ms
            ));
            say(format_args!(
                "{} calls, {} failed, {} sent again",
                report.calls, report.calls_failed, report.retries
            ));
            say(format_args!(
                "99 % of calls took at most {} µs before, and {} µs during the restarts: {:.2} times as long",
                report.quiet_p99_us, report.restart_p99_us, report.p99_ratio
            ));
        }
        Ok(report.succeeded() && !self.failed)
    }

    fn report(self, done: &Done) -> anyhow::Result<bool> {
        let stopped =
            self.actors.iter().any(|actor| actor.label == STOPPED && actor.state == MemberState::Left);
        let since = |label: &str, times: &BTreeMap<String, u64>| {
            let at = unix_micros(*self.played.get(label)?);
            Some(times.get(label)?.saturating_sub(at) / 1000)
        };
        let report = DemoReport {
            workers_killed: u64::from(self.played.contains_key(KILLED)),
            workers_drained: u64::from(stopped),
            workers_joined: u64::from(done.tally.first_call_unix_us.contains_key(FRESH)),
            detect_ms: since(KILLED, &done.tally.last_pick_unix_us),
            join_ms: since(FRESH, &done.tally.first_call_unix_us),
            ..DemoReport::from_client(done)
        };
        let mut snapshot = self.snapshot;
        snapshot.members = self.actors.iter().map(Actor::row).collect();
        self.display.finish(&snapshot)?;
        if self.args.json {
            print(serde_json::to_string(&report)?);
        } else {
            summarize(&report, done);
        }
        Ok(report.succeeded() && !self.failed)
    }

    pub(super) fn happened(&mut self, tone: Tone, text: String) {
        self.snapshot.happenings.push(Happening { at: self.started.elapsed(), tone, text });
    }

    pub(super) fn show(&mut self) -> anyhow::Result<()> {
        let snapshot = &mut self.snapshot;
        snapshot.elapsed = self.started.elapsed();
        snapshot.members = self.actors.iter().map(Actor::row).collect();
        snapshot.chunks = self.tally.chunks;
        snapshot.calls_failed = self.tally.calls_failed;
        snapshot.retries = self.tally.retries;
        snapshot.calls_per_second = self.calls.per_second();
        snapshot.bytes_per_second = self.bytes.per_second();
        self.display.update(snapshot).context("the display can't be written")
    }

    pub(super) fn actor(&mut self, label: &str) -> anyhow::Result<&mut Actor> {
        self.actors
            .iter_mut()
            .find(|actor| actor.label == label)
            .with_context(|| format!("there is no {label}"))
    }

    pub(super) fn client(&mut self) -> anyhow::Result<&mut Actor> {
        self.actor("client")
    }
}

fn summarize(report: &DemoReport, done: &Done) {
    let ms = |value: Option<u64>| value.map_or("not measured".to_owned(), |ms| format!("{ms} ms"));
    let verdict = if report.counts_equal { "equal to" } else { "DIFFERENT from" };
    say("");
    say(format_args!(
        "{} words ({} different) in {} chunks: the counts are {verdict} those of a single thread",
        done.words, done.distinct_words, report.chunks
    ));
    say(format_args!(
        "{} calls, {} failed, {} sent again; half took at most {} µs, 99 % at most {} µs",
        report.calls_ok + report.calls_failed,
        report.calls_failed,
        report.retries,
        report.p50_us,
        report.p99_us
    ));
    say(format_args!(
        "the killed worker was avoided after {}, the fresh one had its first call after {}",
        ms(report.detect_ms),
        ms(report.join_ms)
    ));
    let top: Vec<_> = done.top.iter().take(8).map(|word| format!("{} {}", word.word, word.count)).collect();
    say(format_args!("most frequent: {}", top.join(", ")));
}
