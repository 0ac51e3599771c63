//! What a person sees at start: name, addresses, and where the settings come from. `-quiet` turns it off.

use flymq_config::{KEYS, Loaded};

use crate::{RunningBroker, VERSION, dev::DevCluster};

/// The text, several lines.
pub(crate) fn render(loaded: &Loaded, broker: &RunningBroker) -> String {
    let addresses = broker.addresses();
    let mut out = format!("\n  FlyMQ {VERSION}, node {}\n\n", loaded.config.node_id);
    let mut line = |name: &str, value: String| out.push_str(&format!("  {name:<14}{value}\n"));
    line("clients", addresses.native.to_string());
    line("gRPC", addresses.grpc.to_string());
    if let Some(cluster) = addresses.cluster {
        line("cluster", format!("{cluster}, {} of {}", broker.node.role, broker.node.cluster_id));
    }
    for (name, addr, path) in [
        ("REST", addresses.rest, "/api/v1"),
        ("metrics", addresses.metrics, "/metrics"),
        ("health", addresses.health, "/health"),
    ] {
        line(name, addr.map_or_else(|| "off".to_owned(), |addr| format!("http://{addr}{path}")));
    }
    line("data", loaded.config.storage.data_dir.display().to_string());
    line("acks", loaded.config.performance.acks.to_string());
    let changed = KEYS.iter().filter_map(|key| {
        let source = loaded.sources.get(key.name).filter(|source| source.is_explicit())?;
        Some((key.name, (key.show)(&loaded.config), source))
    });
    let changed: Vec<String> =
        changed.map(|(name, value, source)| format!("  {name} = {value}  ({source})\n")).collect();
    if !changed.is_empty() {
        out.push_str("\n  not at their defaults:\n");
        out.extend(changed);
    }
    out
}

/// The same for a cluster in one process.
pub(crate) fn render_dev(cluster: &DevCluster) -> String {
    let count = cluster.nodes.len();
    let mut out = format!("\n  FlyMQ {VERSION}, a cluster of {count} nodes in one process\n\n");
    let mut line = |name: String, value: String| out.push_str(&format!("  {name:<14}{value}\n"));
    for (number, node) in cluster.nodes.iter().enumerate() {
        let rest = node.rest_addr().map_or_else(|| "off".to_owned(), |addr| format!("http://{addr}/api/v1"));
        let text = format!("clients {}, gRPC {}, REST {rest}", node.native_addr(), node.grpc_addr());
        line(format!("node-{}", number + 1), text);
    }
    let data = if cluster.is_temporary() { "goes when this process does" } else { "stays" };
    line("data".to_owned(), data.to_owned());
    line("try".to_owned(), format!("FLYMQ_ADDR={} flymq-cli cluster status", cluster.native_addrs()));
    out
}
