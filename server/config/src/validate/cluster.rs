//! Checks of what makes a node a member of a cluster.

use crate::choice::Role;
use crate::error::Problem;
use crate::listen_addr::ListenAddr;
use crate::options::Config;

/// Shorter tokens can be guessed.
const MIN_TOKEN_BYTES: usize = 16;
const MAX_RACK_BYTES: usize = 249;

pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    check_way_in(config, problems);
    check_addresses(config, problems);
    let rack = config.cluster.rack.as_deref().unwrap_or("rack");
    if rack.len() > MAX_RACK_BYTES || rack.chars().any(char::is_control) {
        problems.push(Problem::of(
            "cluster.rack",
            format!("`cluster.rack` holds a control character or more than {MAX_RACK_BYTES} bytes"),
            "choose a plain name such as eu-1a",
        ));
    }
}

fn check_way_in(config: &Config, problems: &mut Vec<Problem>) {
    let cluster = &config.cluster;
    // On loopback nobody else would reach this node, whatever it finds.
    let looks = cluster.mdns_enabled && !config.listen.cluster_addr.is_loopback();
    if cluster.role == Role::Agent && cluster.server.is_none() && cluster.peers.is_empty() && !looks {
        problems.push(Problem::of(
            "cluster.server",
            "the role is agent (cluster.role), but no cluster is named to join",
            "set FLYMQ_SERVER to the cluster address of any member, e.g. node-1:9093; or let it look for one on the local network: \
             FLYMQ_CLUSTER_ADDR=:9093, and FLYMQ_CLUSTER_MDNS_ENABLED not false",
        ));
    }
    if !cluster.peers.is_empty() && cluster.cluster_token.is_none() && cluster.join_token.is_none() {
        problems.push(Problem::of(
            "cluster.cluster_token",
            "nodes are listed (peers), but there is no token by which they know each other",
            "set FLYMQ_CLUSTER_TOKEN (cluster.cluster_token) to the same secret text on all of them",
        ));
    }
}

fn check_addresses(config: &Config, problems: &mut Vec<Problem>) {
    let listen = &config.listen;
    let single = [
        ("cluster.server", &config.cluster.server),
        ("advertise_addr", &listen.advertise_addr),
        ("advertise_cluster", &listen.advertise_cluster),
    ];
    let single = single.into_iter().filter_map(|(key, address)| Some((key, address.as_deref()?)));
    let peers = config.cluster.peers.iter().map(|address| ("peers", address.as_str()));
    for (key, address) in single.chain(peers) {
        if !is_reachable(address) {
            problems.push(Problem::of(
                key,
                format!("`{key}` names {address:?}, which nobody can connect to"),
                "write host:port, e.g. node-1:9093",
            ));
        }
    }
}

/// Whether it has a host and a port.
fn is_reachable(address: &str) -> bool {
    address.parse::<ListenAddr>().is_ok_and(|address| !address.host().is_empty() && address.port() != 0)
}

pub(super) fn warn(config: &Config, warnings: &mut Vec<String>) {
    let token = config.cluster.cluster_token.as_ref();
    if token.is_some_and(|token| token.expose().len() < MIN_TOKEN_BYTES) {
        warnings.push(format!(
            "the cluster token has fewer than {MIN_TOKEN_BYTES} characters: whoever guesses it and reaches the cluster \
             port can join; choose a random one, e.g. from `openssl rand -hex 32`"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::secret::Secret;

    fn problems(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::defaults(&Host::default());
        change(&mut config);
        let mut problems = Vec::new();
        check(&config, &mut problems);
        problems.into_iter().filter_map(|problem| problem.key).collect()
    }

    #[test]
    fn an_agent_needs_somebody_to_join() {
        assert_eq!(problems(|config| config.cluster.role = Role::Agent), ["cluster.server"]);
        let named = |config: &mut Config| {
            config.cluster.role = Role::Agent;
            config.cluster.server = Some("node-1:9093".to_owned());
        };
        assert!(problems(named).is_empty());
    }

    #[test]
    fn an_agent_that_others_can_reach_may_look_for_its_cluster() {
        let looks = |config: &mut Config| {
            config.cluster.role = Role::Agent;
            config.listen.cluster_addr = "0.0.0.0:9093".parse().expect("an address");
        };
        assert!(problems(looks).is_empty());
        let may_not = |config: &mut Config| {
            looks(config);
            config.cluster.mdns_enabled = false;
        };
        assert_eq!(problems(may_not), ["cluster.server"]);
    }

    #[test]
    fn listed_nodes_know_each_other_by_a_token() {
        let peers = || vec!["a:9093".to_owned(), "b:9093".to_owned()];
        assert_eq!(problems(|config| config.cluster.peers = peers()), ["cluster.cluster_token"]);
        let with_token = |config: &mut Config| {
            config.cluster.peers = peers();
            config.cluster.cluster_token = Some(Secret::new("s"));
        };
        assert!(problems(with_token).is_empty());
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for bad in ["node-1", ":9093", "node-1:0", "node-1:port", ""] {
            let set = |config: &mut Config| config.listen.advertise_cluster = Some(bad.to_owned());
            assert_eq!(problems(set), ["advertise_cluster"], "{bad}");
        }
        let good = |config: &mut Config| config.listen.advertise_cluster = Some("[::1]:9093".to_owned());
        assert!(problems(good).is_empty());
    }

    #[test]
    fn a_rack_is_a_plain_name() {
        assert_eq!(problems(|config| config.cluster.rack = Some("a\nb".to_owned())), ["cluster.rack"]);
    }
}
