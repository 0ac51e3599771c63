//! A member that starts again may be found elsewhere than before, and so may all the others. Until it is heard by the
//! leader it tells everyone it knows or is told of (FLYMQ_SERVER, FLYMQ_PEERS), in the way of a node that joins: with the
//! cluster's secret as its token. That is also how a node that was removed, and that nobody talks to any more, hears of it.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use flymq_proto::internal::{JoinReply, JoinRequest, join_reply::Outcome};
use prost::Message as _;
use tokio::time::sleep;
use tracing::debug;

use super::member::Member;

/// Between two rounds.
const EVERY: Duration = Duration::from_millis(500);
/// How long one node may take to answer.
const WITHIN: Duration = Duration::from_secs(2);

/// While a leader is known only every so many rounds: it may be one of long ago.
const QUIET_ROUNDS: u32 = 10;

/// Runs until it is dropped, or until the leader says that this node was removed: its sentence. `told`: addresses from the
/// configuration. Almost quiet while a leader is known. (One that led before takes itself for the leader until it hears
/// of the next one: that is no reason to be quiet.)
pub(super) async fn announce(member: &Member, told: &BTreeSet<String>, request: &JoinRequest) -> String {
    let mut quiet = 0;
    loop {
        if member.store.leader().is_some_and(|leader| leader != member.id) && quiet < QUIET_ROUNDS {
            quiet += 1;
            sleep(EVERY).await;
            continue;
        }
        quiet = 0;
        let image = member.image();
        let known = image.cluster.nodes.values().filter_map(|node| node.addresses.cluster.as_deref());
        let addresses: BTreeSet<&str> = known
            .chain(told.iter().map(String::as_str))
            .filter(|address| *address != member.address)
            .collect();
        let told = addresses.into_iter().map(|address| tell(member, address, request));
        if let Some(removed) = futures::future::join_all(told).await.into_iter().flatten().next() {
            return removed;
        }
        sleep(EVERY).await;
    }
}

/// What the leader says through that node, if this one was removed.
async fn tell(member: &Member, address: &str, request: &JoinRequest) -> Option<String> {
    let body = Bytes::from(request.encode_to_vec());
    match member.network.join(address, member.secret.as_str(), body, WITHIN).await {
        Ok(answer) => match JoinReply::decode(answer).ok()?.outcome? {
            Outcome::Refused(refused) if refused.removed => Some(refused.reason),
            Outcome::Refused(_) | Outcome::Accepted(_) | Outcome::Later(_) => None,
        },
        Err(error) => {
            debug!(address, %error, "this node could not tell where it is");
            None
        }
    }
}
