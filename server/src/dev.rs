//! A whole cluster in one process, for laptops and tests.
//!
//! ```no_run
//! # async fn run() -> Result<(), flymq_server::StartError> {
//! let config = flymq_server::Config::embedded("/tmp/unused");
//! let cluster = flymq_server::dev::start(3, config, Some("/tmp/three-nodes".as_ref())).await?;
//! println!("connect to {}", cluster.native_addrs());
//! cluster.shutdown().await;
//! # Ok(()) }
//! ```

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use flymq_config::{Config, ListenAddr, ListenOptions, Role, Secret};
use flymq_types::{Rng as _, SystemRng};
use futures::future::try_join_all;

use crate::{RunningBroker, StartError};

/// Nodes of a cluster, all in this process, on ports of loopback that the system chooses.
#[derive(Debug)]
pub struct DevCluster {
    /// `node-1` first.
    pub nodes: Vec<RunningBroker>,
    /// Removed with everything in it when the cluster is dropped.
    temporary: Option<tempfile::TempDir>,
}

/// The file that keeps the cluster ports of a directory: members find each other where they were.
const PORTS: &str = "cluster-ports";
/// What the nodes of one process know each other by. Nobody else gets to their ports but from this machine.
const TOKEN: &str = "flymq dev: all nodes of one process";

/// Starts `nodes` nodes with the settings of `config`, but for their names, addresses and directories. Without `dir` their
/// data goes when the cluster does; with it, the same nodes come back.
///
/// # Errors
/// Those of [`crate::start()`].
pub async fn start(nodes: u32, config: Config, dir: Option<&Path>) -> Result<DevCluster, StartError> {
    let temporary = match dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|error| unusable(&std::env::temp_dir(), &error))?),
    };
    let path = dir.or(temporary.as_ref().map(tempfile::TempDir::path)).unwrap_or(Path::new("."));
    let ports = cluster_ports(path, nodes as usize).map_err(|error| unusable(path, &error))?;
    let configs = (0..ports.len()).map(|number| node_config(&config, path, &ports, number));
    // All at once: those that join wait for the first, and after a restart a majority has to be there.
    let nodes = try_join_all(configs.map(crate::start)).await?;
    Ok(DevCluster { nodes, temporary })
}

fn unusable(path: &Path, error: &io::Error) -> StartError {
    StartError::DataDir { path: path.to_owned(), reason: error.to_string() }
}

fn node_config(config: &Config, dir: &Path, ports: &[u16], number: usize) -> Config {
    let mut config = config.clone();
    config.node_id = format!("node-{}", number + 1);
    config.storage.data_dir = dir.join(&config.node_id);
    config.audit.log_dir = config.storage.data_dir.join("audit");
    config.listen =
        ListenOptions { cluster_addr: ListenAddr::loopback(ports[number]), ..ListenOptions::ephemeral() };
    config.observability.use_ephemeral_ports();
    config.quiet = true;
    config.cluster.peers = Vec::new();
    let token = Some(Secret::new(TOKEN));
    if number == 0 {
        (config.cluster.role, config.cluster.cluster_token) = (Role::Bootstrap, token);
    } else {
        (config.cluster.role, config.cluster.join_token) = (Role::Agent, token);
        config.cluster.server = Some(format!("127.0.0.1:{}", ports[0]));
    }
    config
}

/// The ports that the directory had before, or free ones, which it has from now on.
fn cluster_ports(dir: &Path, nodes: usize) -> io::Result<Vec<u16>> {
    let file: PathBuf = dir.join(PORTS);
    let mut ports: Vec<u16> = match fs::read_to_string(&file) {
        Ok(text) => text.split_whitespace().filter_map(|port| port.parse().ok()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    if ports.len() < nodes {
        ports.extend(free_ports(nodes - ports.len())?);
        fs::create_dir_all(dir)?;
        let text: Vec<String> = ports.iter().map(ToString::to_string).collect();
        fs::write(&file, text.join("\n") + "\n")?;
    }
    ports.truncate(nodes);
    Ok(ports)
}

/// Below the ports that systems give to whoever asks for any: the nodes' own other listeners would take them.
const CHOICE: std::ops::Range<u16> = 20_000..32_000;
/// So many ports are tried for each.
const ATTEMPTS: usize = 100;

/// Ports that are free just now, all different.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let mut bound = Vec::with_capacity(count);
    for _ in 0..count * ATTEMPTS {
        if bound.len() == count {
            break;
        }
        let mut random = [0; 2];
        SystemRng.fill(&mut random);
        let port = CHOICE.start + u16::from_le_bytes(random) % (CHOICE.end - CHOICE.start);
        bound.extend(TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
    }
    if bound.len() < count {
        return Err(io::Error::other("no free port was found for the cluster"));
    }
    bound.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

impl DevCluster {
    /// What clients connect to: the native addresses, with commas.
    pub fn native_addrs(&self) -> String {
        let addrs: Vec<String> = self.nodes.iter().map(|node| node.native_addr().to_string()).collect();
        addrs.join(",")
    }

    /// Whether the data goes with the cluster.
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Stops all nodes in order.
    pub async fn shutdown(self) {
        // One after the other, the first one last: each hands over to those that are left.
        for node in self.nodes.into_iter().rev() {
            node.shutdown().await;
        }
    }
}
