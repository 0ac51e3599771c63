//! A member that starts again may be found elsewhere than before, and so may all the others. Until it is heard by the
//! leader it tells everyone it knows or is told of (FLYMQ_SERVER, FLYMQ_PEERS), in the way of a node that joins: with the
//! cluster's secret as its token.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use flymq_proto::internal::JoinRequest;
use prost::Message as _;
use tokio::time::sleep;
use tracing::debug;

use super::member::Member;

/// Between two rounds.
const EVERY: Duration = Duration::from_millis(500);
/// How long one node may take to answer.
const WITHIN: Duration = Duration::from_secs(2);

/// Runs until it is dropped. `told`: addresses from the configuration. Quiet while a leader is known. (One that led before takes itself for the leader until it hears
/// of the next one: that is no reason to end.)
pub(super) async fn announce(member: &Member, told: &BTreeSet<String>, request: &JoinRequest) {
    loop {
        if member.store.leader().is_some_and(|leader| leader != member.id) {
            sleep(EVERY).await;
            continue;
        }
        let image = member.image();
        let known = image.cluster.nodes.values().filter_map(|node| node.addresses.cluster.as_deref());
        let addresses: BTreeSet<&str> = known
            .chain(told.iter().map(String::as_str))
            .filter(|address| *address != member.address)
            .collect();
        let told = addresses.into_iter().map(|address| tell(member, address, request));
        futures::future::join_all(told).await;
        sleep(EVERY).await;
    }
}

async fn tell(member: &Member, address: &str, request: &JoinRequest) {
    let body = Bytes::from(request.encode_to_vec());
    if let Err(error) = member.network.join(address, member.secret.as_str(), body, WITHIN).await {
        debug!(address, %error, "this node could not tell where it is");
    }
}
