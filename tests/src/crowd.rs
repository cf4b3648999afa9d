//! More calls at a time than one connection carries.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use rpcnet::{Caller, Code, Server};
use tokio::task::JoinSet;

use crate::{ProbeClient, until, within};

/// Calls that are made again as soon as they are answered.
#[derive(Debug)]
pub struct Crowd {
    tasks: JoinSet<usize>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

impl Crowd {
    /// Starts this many tasks that call one after the other. Calls may fail as `Unavailable`.
    pub fn of<C: Caller + Clone>(tasks: usize, channel: &C) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut crowd = Self { tasks: JoinSet::new(), stop, answered };
        for task in 0..tasks {
            let client = ProbeClient::new(channel.clone());
            let (stop, answered) = (crowd.stop.clone(), crowd.answered.clone());
            crowd.tasks.spawn(async move {
                let mut failed = 0;
                for call in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{task}:{call}");
                    match client.echo(text.clone()).await {
                        Ok(answer) => assert_eq!(answer, text),
                        Err(error) => {
                            assert_eq!(error.code(), Code::Unavailable, "{error}");
                            failed += 1;
                        }
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                failed
            });
        }
        crowd
    }

    /// Waits until some hundred calls more are answered, and more than there are at a time.
    pub async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        until(|| self.answered.load(Ordering::Relaxed) > before + self.tasks.len().max(600) + 100).await;
    }

    /// Ends it; how many calls failed.
    ///
    /// # Panics
    ///
    /// Where one had another's answer, or failed otherwise than as `Unavailable`.
    pub async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = 0;
        while let Some(ended) = within(self.tasks.join_next()).await {
            failed += ended.expect("each has its own answer");
        }
        failed
    }
}

/// The number of connections that a server has.
pub fn connections(server: &Server) -> usize {
    let text = server.metrics().render();
    let line = text.lines().find_map(|line| line.strip_prefix("rpc_connections "));
    line.map_or(0, |value| value.parse().expect("a count"))
}
