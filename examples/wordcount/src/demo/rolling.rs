//! A rolling restart: under load, every worker and every director is told to stop, and is started again once it has
//! ended.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context as _, anyhow};
use rpcnet_cluster::ClusterChannel;
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, sleep},
};

use super::{
    script::WORKERS,
    stage::{FRAME, Stage},
};
use crate::{ClientLine, Done, Histogram, MemberState, Role, RollingReport, Tone};

/// The time in which connections are made and caches are filled.
const WARM_UP: Duration = Duration::from_secs(2);
/// The time within which a process must end, or be back: 30 s for its calls, the rest for farewells.
const PATIENCE: Duration = Duration::from_secs(45);
/// The interval at which a director is asked whether it knows all workers.
const LOOK: Duration = Duration::from_millis(20);

/// The phase of the restart.
enum Step {
    /// Before this instant no latency counts.
    WarmUp(Instant),
    /// Before this instant the normal latency is measured.
    Quiet(Instant),
    /// The process was told to stop.
    Ending(String, Instant),
    /// The process was started again.
    Coming(String, Instant, Back),
    /// All processes were restarted, and the client ends its pass.
    Over,
}

/// The sign that a process is back.
enum Back {
    /// For a worker: it has answered more calls than this.
    Calls(u64),
    /// For a director: a client that follows it alone has all workers.
    Follower(JoinHandle<anyhow::Result<()>>),
}

impl Drop for Back {
    fn drop(&mut self) {
        if let Self::Follower(task) = self {
            task.abort();
        }
    }
}

/// A rolling restart under way.
struct Rolling {
    step: Step,
    left: VecDeque<String>,
    quiet: Histogram,
    during: Histogram,
    workers: u64,
    directors: u64,
    longest: Duration,
}

impl Stage<'_> {
    /// Restarts all processes, one after the other, while the client counts. Returns the client's last report and the
    /// measurements.
    pub(super) async fn roll(&mut self) -> anyhow::Result<(Done, RollingReport)> {
        let labels = |role| self.actors.iter().filter(move |actor| actor.role == role);
        let left =
            labels(Role::Worker).chain(labels(Role::Director)).map(|actor| actor.label.clone()).collect();
        let mut rolling = Rolling {
            step: Step::WarmUp(Instant::now() + WARM_UP),
            left,
            quiet: Histogram::new(),
            during: Histogram::new(),
            workers: 0,
            directors: 0,
            longest: Duration::ZERO,
        };
        let mut frame = tokio::time::interval(FRAME);
        frame.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let client = self.client()?;
            tokio::select! {
                line = client.process.lines.next_line() => {
                    let line = line.context("the client's report can't be read")?;
                    let Some(line) = line else {
                        return Err(anyhow!("the client ended early: {}", self.client()?.process.last_words()));
                    };
                    let line = ClientLine::parse(&line).with_context(|| format!("not a report: `{line}`"))?;
                    self.observe(&line);
                    match line {
                        ClientLine::Progress(progress) => rolling.observe(&progress.recent),
                        ClientLine::Done(done) => {
                            self.client()?.state = MemberState::Done;
                            let report = rolling.report(&done);
                            return Ok((done, report));
                        }
                    }
                }
                _ = frame.tick() => {
                    self.watch();
                    if self.failed {
                        return Err(anyhow!("a process has ended that should not have"));
                    }
                    self.advance(&mut rolling).await?;
                    self.show()?;
                }
            }
        }
    }

    async fn advance(&mut self, rolling: &mut Rolling) -> anyhow::Result<()> {
        let now = Instant::now();
        match &mut rolling.step {
            Step::WarmUp(until) if self.tally.calls_ok == 0 => *until = now + WARM_UP,
            Step::WarmUp(until) if now >= *until => rolling.step = Step::Quiet(now + self.args.length()),
            Step::Quiet(until) if now >= *until => self.end_next(rolling)?,
            Step::Ending(label, since) => {
                let (label, since) = (label.clone(), *since);
                if self.actor(&label)?.state == MemberState::Left {
                    let back = self.start_again(&label)?;
                    rolling.step = Step::Coming(label, since, back);
                } else if since.elapsed() > PATIENCE {
                    return Err(anyhow!("{label} has not gone {PATIENCE:?} after it was told to"));
                }
            }
            Step::Coming(label, since, back) => {
                let is_back = match back {
                    Back::Calls(before) => {
                        self.tally.calls_by_worker.get(label).is_some_and(|calls| calls > before)
                    }
                    Back::Follower(task) if task.is_finished() => {
                        task.await.context("whoever asked it has failed")??;
                        true
                    }
                    Back::Follower(_) => false,
                };
                if !is_back {
                    if since.elapsed() > PATIENCE {
                        return Err(anyhow!("{label} is not back {PATIENCE:?} after it was told to stop"));
                    }
                    return Ok(());
                }
                let (label, took) = (label.clone(), since.elapsed());
                let actor = self.actor(&label)?;
                actor.state = MemberState::Up;
                match actor.role {
                    Role::Director => rolling.directors += 1,
                    Role::Worker | Role::Client => rolling.workers += 1,
                }
                rolling.longest = rolling.longest.max(took);
                self.happened(Tone::Good, format!("{label} is back after {:.1} s", took.as_secs_f64()));
                self.end_next(rolling)?;
            }
            Step::WarmUp(_) | Step::Quiet(_) | Step::Over => {}
        }
        Ok(())
    }

    /// Tells the next process to stop, or the client once all were restarted.
    fn end_next(&mut self, rolling: &mut Rolling) -> anyhow::Result<()> {
        let Some(label) = rolling.left.pop_front() else {
            self.client()?.process.terminate()?;
            rolling.step = Step::Over;
            return Ok(());
        };
        let actor = self.actor(&label)?;
        actor.state = MemberState::Draining;
        actor.process.terminate()?;
        self.happened(Tone::Warning, format!("told {label} to stop (SIGTERM)"));
        rolling.step = Step::Ending(label, Instant::now());
        Ok(())
    }

    /// Starts the process again at its former address.
    fn start_again(&mut self, label: &str) -> anyhow::Result<Back> {
        let place = self.actors.iter().position(|actor| actor.label == label);
        let place = place.with_context(|| format!("there is no {label}"))?;
        let address = self.actors[place].address.clone().context("it has said where it listens")?;
        let role = self.actors[place].role;
        let actor = self.casting().again(role, label, &address, &self.directors)?;
        self.actors[place] = actor;
        Ok(match role {
            Role::Director => Back::Follower(tokio::spawn(knows_all_workers(self.follower(&address)?))),
            Role::Worker | Role::Client => {
                Back::Calls(self.tally.calls_by_worker.get(label).copied().unwrap_or_default())
            }
        })
    }

    /// A client that follows this director alone.
    fn follower(&self, director: &str) -> anyhow::Result<rpcnet_cluster::ClusterChannelBuilder> {
        let own = self.ca.issue("demo")?;
        Ok(ClusterChannel::builder()
            .with_directors([director])
            .with_connect_timeout(PATIENCE)
            .with_ca_cert(self.ca.ca_pem())?
            .with_cert_and_key(own.cert, own.key)?)
    }
}

async fn knows_all_workers(follower: rpcnet_cluster::ClusterChannelBuilder) -> anyhow::Result<()> {
    let channel = follower.connect().await?;
    while channel.endpoints().len() < WORKERS {
        sleep(LOOK).await;
    }
    channel.close().await;
    Ok(())
}

impl Rolling {
    /// Takes in the latest latencies.
    fn observe(&mut self, recent: &Histogram) {
        match self.step {
            Step::WarmUp(_) => {}
            Step::Quiet(_) => self.quiet.merge(recent),
            Step::Ending(..) | Step::Coming(..) | Step::Over => self.during.merge(recent),
        }
    }

    fn report(&self, done: &Done) -> RollingReport {
        let (quiet, during) = (self.quiet.quantile(0.99), self.during.quantile(0.99));
        RollingReport {
            calls: done.tally.calls_ok + done.tally.calls_failed,
            calls_failed: done.tally.calls_failed,
            retries: done.tally.retries,
            counts_equal: done.counts_equal,
            workers_restarted: self.workers,
            directors_restarted: self.directors,
            longest_restart_ms: self.longest.as_millis() as u64,
            quiet_p99_us: quiet,
            restart_p99_us: during,
            p99_ratio: during as f64 / quiet.max(1) as f64,
        }
    }
}
