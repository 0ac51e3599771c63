//! Which address of this machine others reach, where a listener is on all of them and nobody said: `POD_IP` (Kubernetes'
//! downward API), the metadata service of the cloud that the machine says it is in, else the address that its default
//! route leaves from (the container's own, in Docker).

mod cloud;
mod route;

use std::net::{IpAddr, SocketAddr};

use flymq_config::Config;
use tracing::{info, warn};

use crate::listen::Addresses;
use cloud::Cloud;

/// Looks for the address where one is needed.
pub(crate) async fn find(config: &Config, bound: &Addresses) -> Option<IpAddr> {
    let listen = &config.listen;
    let clients = [Some(bound.native), Some(bound.grpc), bound.rest];
    let clients = clients.into_iter().flatten().filter(|_| listen.advertise_addr.is_none());
    let nodes = bound.cluster.filter(|_| listen.advertise_cluster.is_none());
    if !clients.chain(nodes).any(|address| address.ip().is_unspecified()) {
        return None;
    }
    let found = detect(pod_ip(), Cloud::of_this_machine(), SocketAddr::from(cloud::SERVICE)).await;
    match found {
        Some((address, by)) => {
            info!(%address, by, "others are told this address: FLYMQ_ADVERTISE_ADDR and FLYMQ_ADVERTISE_CLUSTER name another");
        }
        None => warn!(
            "no address of this machine was found, so others are told its name: if they cannot resolve it, set FLYMQ_ADVERTISE_ADDR and \
             FLYMQ_ADVERTISE_CLUSTER"
        ),
    }
    found.map(|(address, _)| address)
}

/// What counts first, and the name of where it came from.
async fn detect(
    pod: Option<String>,
    cloud: Option<Cloud>,
    service: SocketAddr,
) -> Option<(IpAddr, &'static str)> {
    if let Some(address) = pod.as_deref().and_then(usable) {
        return Some((address, "POD_IP"));
    }
    if let Some(cloud) = cloud {
        match cloud.private_address(service).await {
            Ok(address) => return Some((address, cloud.name())),
            Err(error) => {
                warn!(cloud = cloud.name(), %error, "its metadata service does not tell this machine's address");
            }
        }
    }
    route::default_source().map(|address| (address, "the default route"))
}

fn pod_ip() -> Option<String> {
    std::env::var("POD_IP").ok()
}

/// An address that other machines can connect to.
fn usable(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.trim().parse().ok()?;
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    (!address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && !link_local)
        .then_some(address)
}

#[cfg(test)]
mod tests;
