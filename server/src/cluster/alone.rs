//! A node that is to form a cluster asks those it is told of first: one whose disk was lost, or is not mounted, must not form
//! a second cluster beside the one that it belonged to.

use std::path::Path;

use flymq_config::Config;
use flymq_replication::PeerNetwork;
use tracing::info;

use crate::StartError;

/// The other nodes that the configuration names.
pub(super) fn others<'a>(config: &'a Config, own: &str) -> Vec<&'a str> {
    let cluster = &config.cluster;
    let named = cluster.server.iter().chain(&cluster.peers).map(String::as_str);
    named.filter(|address| *address != own).collect()
}

/// Asks all of them at once. Who does not answer is taken for a node that is not started yet.
///
/// # Errors
/// One of them belongs to a cluster.
pub(super) async fn check(network: &PeerNetwork, others: &[&str], data: &Path) -> Result<(), StartError> {
    let asked = others.iter().map(|address| async move { (*address, network.belongs(address).await) });
    for (address, answer) in futures::future::join_all(asked).await {
        match answer {
            Ok(true) => return Err(StartError::Cluster { reason: second(address, data) }),
            Ok(false) => {}
            Err(error) => {
                info!(address, %error, "a node that may belong to a cluster cannot be asked before this one forms one");
            }
        }
    }
    Ok(())
}

fn second(address: &str, data: &Path) -> String {
    format!(
        "{address} belongs to a cluster, and this node's data directory {} does not: with FLYMQ_ROLE=bootstrap it would form a \
         second one beside it. If its disk is lost or not mounted, mount it; to come back as a new member start it with \
         FLYMQ_ROLE=agent, FLYMQ_SERVER={address} and FLYMQ_JOIN_TOKEN (flymq-cli cluster token, or that cluster's token). For a \
         cluster of its own take that address out of FLYMQ_SERVER and FLYMQ_PEERS",
        data.display()
    )
}
