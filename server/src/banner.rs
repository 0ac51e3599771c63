//! What a person sees at start: name, addresses, and where the settings come from. `-quiet` turns it off.

use flymq_config::{KEYS, Loaded};

use crate::{VERSION, listen::Addresses};

/// The text, several lines.
pub(crate) fn render(loaded: &Loaded, addresses: &Addresses) -> String {
    let mut out = format!("\n  FlyMQ {VERSION}, node {}\n\n", loaded.config.node_id);
    let mut line = |name: &str, value: String| out.push_str(&format!("  {name:<14}{value}\n"));
    line("clients", addresses.native.to_string());
    line("gRPC", addresses.grpc.to_string());
    if let Some(cluster) = addresses.cluster {
        line("cluster", cluster.to_string());
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
