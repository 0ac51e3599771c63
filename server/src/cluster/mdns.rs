//! Members tell the local network where they are, and who wants to join looks there: DNS-SD over mDNS (RFC 6763, RFC 6762).
//!
//! What is found is not trusted: a join proves the token in both directions, whoever answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use flymq_types::{ClusterId, DirectoryId, NodeId};
use mdns_sd::{Error, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};
use tracing::{info, warn};

const SERVICE: &str = "_flymq._tcp.local.";
/// TXT records: where nodes connect to, and of which cluster it is.
const ADDRESS: &str = "cluster_addr";
const CLUSTER: &str = "cluster_id";
const NODE: &str = "node_id";
/// So many members are remembered: anybody on the network can make up more.
const MOST: usize = 64;

/// A member that others can find, until this is dropped.
pub(crate) struct Told {
    daemon: ServiceDaemon,
}

impl Told {
    /// None where nobody else could connect, or the network lets nobody tell: a cluster does without.
    pub fn tell(address: &str, node: &NodeId, directory: DirectoryId, cluster: ClusterId) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
        let host = host.trim_matches(['[', ']']);
        if host == "localhost" || host.parse().is_ok_and(is_loopback) {
            return None;
        }
        let name = directory.to_string();
        let (cluster, node) = (cluster.to_string(), node.to_string());
        let texts = [(ADDRESS, address), (CLUSTER, &cluster), (NODE, &node)];
        let told = register(&name, port.parse().ok()?, &texts);
        told.inspect_err(|error| warn!(%error, "this node cannot be found by mDNS: name it to nodes that join (FLYMQ_SERVER)")).ok()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // Says good-bye to the network, so that nobody asks here any more. That it cannot be said changes nothing.
        let _unsaid = self.daemon.shutdown();
    }
}

fn register(name: &str, port: u16, texts: &[(&str, &str)]) -> Result<Told, Error> {
    let daemon = ServiceDaemon::new()?;
    let host = format!("{name}.local.");
    let service = ServiceInfo::new(SERVICE, name, &host, "", port, texts)?.enable_addr_auto();
    daemon.register(service)?;
    Ok(Told { daemon })
}

/// Looks for members.
pub(crate) struct Looking {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    /// Cluster addresses, by the name of who told them.
    known: BTreeMap<String, String>,
}

impl Looking {
    /// # Errors
    /// The machine has no socket for it.
    pub fn begin() -> Result<Self, Error> {
        let daemon = ServiceDaemon::new()?;
        let events = daemon.browse(SERVICE)?;
        Ok(Self { daemon, events, known: BTreeMap::new() })
    }

    /// Where members are, as heard so far.
    pub fn addresses(&mut self) -> BTreeSet<String> {
        while let Ok(event) = self.events.try_recv() {
            match event {
                ServiceEvent::ServiceResolved(found) => {
                    if self.known.len() >= MOST && !self.known.contains_key(&found.fullname) {
                        continue;
                    }
                    let text = |key| found.get_property_val_str(key).unwrap_or_default();
                    let (address, node, cluster) = (text(ADDRESS), text(NODE), text(CLUSTER));
                    if self.known.insert(found.fullname.clone(), address.to_owned()).is_none() {
                        info!(address, node, cluster, "found a member by mDNS");
                    }
                }
                ServiceEvent::ServiceRemoved(_, name) => drop(self.known.remove(&name)),
                _ => {}
            }
        }
        self.known.values().filter(|address| !address.is_empty()).cloned().collect()
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        let _unsaid = self.daemon.shutdown();
    }
}
