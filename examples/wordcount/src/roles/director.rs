//! The director: tells clients where the workers are.

use rpcnet_cluster::{ClusterEvent, Director};
use tracing::info;

use super::{
    RoleError, init_log,
    node::{Node, NodeSettings},
};
use crate::DirectorSettings;

/// Runs a director until SIGTERM or ctrl-c.
///
/// # Errors
///
/// [`RoleError::Usage`] if the director can't start with these settings.
pub async fn run_director(settings: DirectorSettings) -> Result<(), RoleError> {
    init_log(&settings.shared.log);
    let node = Node::start(
        &NodeSettings {
            role: "director",
            label: settings.label.as_deref().unwrap_or("director"),
            bind: settings.bind,
            seeds: &settings.seeds,
            region: settings.region.as_deref(),
            gossip: settings.gossip,
            metrics: settings.metrics,
            shared: &settings.shared,
        },
        |_| Ok(()),
    )
    .await?;
    let director =
        Director::new(&node.server, &node.cluster).map_err(|error| RoleError::Failed(error.into()))?;
    let mut events = node.cluster.events();
    // The task ends with the process, or with the node.
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let ClusterEvent::NodeJoined(member)
            | ClusterEvent::NodeLeft(member)
            | ClusterEvent::NodeFailed(member)
            | ClusterEvent::TagsChanged(member) = event
            {
                // A node that has just joined may not have sent its tags yet. An event follows when they come.
                let Some(label) = member.tags().get("label") else { continue };
                let healthy = director.registry().healthy_count().await;
                info!(label, addr = %member.identity().addr(), state = ?member.state(), healthy, "workers");
            }
        }
    });
    node.run().await
}
