//! Where a member tells others that it is found.

use std::{net::SocketAddr, sync::Arc};

use flymq_config::Config;
use flymq_engine::meta::NodeAddresses;

use crate::listen::Addresses;

/// What other nodes and clients are told. The host of `advertise_addr` counts for all client doors, as they stand on one
/// machine.
pub(crate) fn advertised(config: &Config, bound: &Addresses) -> NodeAddresses {
    let client_host = config.listen.advertise_addr.as_deref().and_then(host_of);
    let client = |address: SocketAddr| Some(Arc::from(reachable(bound, address, client_host)));
    let native = match &config.listen.advertise_addr {
        Some(address) => Some(Arc::from(address.as_str())),
        None => client(bound.native),
    };
    NodeAddresses {
        cluster: cluster(config, bound).map(Arc::from),
        native,
        grpc: client(bound.grpc),
        rest: bound.rest.and_then(client),
    }
}

/// Where other nodes are told to connect to; none without a cluster listener.
pub(crate) fn cluster(config: &Config, bound: &Addresses) -> Option<String> {
    let address = bound.cluster?;
    Some(config.listen.advertise_cluster.clone().unwrap_or_else(|| bound.reachable(address)))
}

fn reachable(bound: &Addresses, address: SocketAddr, host: Option<&str>) -> String {
    match host {
        Some(host) => format!("{host}:{}", address.port()),
        None => bound.reachable(address),
    }
}

fn host_of(address: &str) -> Option<&str> {
    address.rsplit_once(':').map(|(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> Addresses {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Addresses {
            native: at(1),
            grpc: at(2),
            rest: Some(at(3)),
            metrics: None,
            health: None,
            cluster: Some(at(4)),
            outside: None,
        }
    }

    #[test]
    fn bound_addresses_are_told_unless_others_are_set() {
        let mut config = Config::embedded("/nowhere");
        let told = advertised(&config, &bound());
        assert_eq!(told.native.as_deref(), Some("127.0.0.1:1"));
        assert_eq!(told.rest.as_deref(), Some("127.0.0.1:3"));
        assert_eq!(told.cluster.as_deref(), Some("127.0.0.1:4"));

        let everywhere = SocketAddr::from(([0, 0, 0, 0], 9));
        let found = Addresses { native: everywhere, outside: Some([10, 0, 0, 7].into()), ..bound() };
        assert_eq!(advertised(&config, &found).native.as_deref(), Some("10.0.0.7:9"));

        config.listen.advertise_addr = Some("mq.example:9092".to_owned());
        config.listen.advertise_cluster = Some("10.0.0.1:9093".to_owned());
        let told = advertised(&config, &bound());
        assert_eq!(told.native.as_deref(), Some("mq.example:9092"));
        assert_eq!(told.grpc.as_deref(), Some("mq.example:2"));
        assert_eq!(told.cluster.as_deref(), Some("10.0.0.1:9093"));
    }
}
