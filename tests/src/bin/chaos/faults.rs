//! Plays a storm: each fault in a task of its own.

use std::{collections::BTreeMap, sync::Arc};

use rpcnet_benches::Failure;
use rpcnet_tests::weather::Weather;
use rustix::process::Signal;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    schedule::{Fault, Kind, Storm, Way},
    stage::Stage,
};

/// The outcome of a storm.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// Faults by kind.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Processes that ended otherwise than they were told to.
    pub(crate) broken: Vec<String>,
}

/// Returns when all faults are over and all processes up again.
pub(crate) async fn play(stage: &Arc<Stage>, storm: &Storm) -> Result<Played, Failure> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let mut played = Played::default();
    for fault in &storm.faults {
        *played.faults.entry(fault.kind.name()).or_default() += 1;
        tasks.spawn(befall(stage.clone(), fault.clone(), began));
    }
    while let Some(ended) = tasks.join_next().await {
        played.broken.extend(ended??);
    }
    Ok(played)
}

/// One fault; what was wrong, if something was.
async fn befall(stage: Arc<Stage>, fault: Fault, began: Instant) -> Result<Option<String>, Failure> {
    sleep_until(began + fault.at).await;
    let over = sleep_until(began + fault.end());
    let Some(&index) = fault.nodes.first() else { return Ok(None) };
    let (sky, good) = (&stage.sky, Weather::default());
    let mut node = stage.node(index).lock().await;
    let label = stage.cast.label(index);
    if let Some(status) = node.has_failed() {
        stage.journal.note(format!("{label} HAS ENDED: {status}"));
        stage.restart(index, &mut node, false).await?;
        return Ok(Some(format!("{label}: {status}")));
    }
    stage.journal.note(fault.describe(stage.cast));
    match fault.kind {
        Kind::Kill => {
            node.kill().await?;
            over.await;
            stage.restart(index, &mut node, fault.elsewhere).await?;
            return Ok(None);
        }
        Kind::Drain | Kind::DrainTwice => {
            let wrong = node.drain(fault.kind == Kind::DrainTwice).await?;
            stage.journal.note(format!("{label} has gone{}", wrong.as_deref().unwrap_or_default()));
            over.await;
            stage.restart(index, &mut node, fault.elsewhere).await?;
            return Ok(wrong.map(|wrong| format!("{label}: {wrong}")));
        }
        Kind::Stop => {
            node.signal(Signal::STOP)?;
            drop(node);
            over.await;
            stage.node(index).lock().await.signal(Signal::CONT)?;
        }
        Kind::Cut(way) => {
            drop(node);
            sky.set(index, way, Weather::CUT);
            over.await;
            sky.set(index, way, good);
        }
        Kind::Weather(weather) => {
            drop(node);
            sky.set(index, Way::Both, weather);
            over.await;
            sky.set(index, Way::Both, good);
        }
        Kind::CutFromClients => {
            drop(node);
            sky.set_for_clients(index, Weather::CUT);
            over.await;
            sky.set_for_clients(index, good);
        }
        Kind::Rebind => {
            node.proxy.rebind();
            drop(node);
            over.await;
        }
        Kind::Split => {
            drop(node);
            sky.split(&fault.nodes);
            over.await;
            sky.heal(&fault.nodes);
        }
    }
    stage.journal.note(format!("{label}: the {} is over", fault.kind.name()));
    Ok(None)
}
