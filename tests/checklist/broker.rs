//! The broker that the rows are checked against: the real one, in this process.

use std::{
    error::Error,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use flymq_config::Role;
use flymq_server::{Config, RunningBroker};
use tokio::runtime::Runtime;

pub struct Broker {
    runtime: Runtime,
    running: Option<RunningBroker>,
    _data: tempfile::TempDir,
}

impl Broker {
    pub fn start() -> Result<Self, Box<dyn Error>> {
        let data = tempfile::tempdir()?;
        let mut config = Config::embedded(data.path());
        // The first of a cluster, alone: all that a broker has, and the cluster's port.
        config.cluster.role = Role::Bootstrap;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let running = runtime.block_on(flymq_server::start(config))?;
        Ok(Self { runtime, running: Some(running), _data: data })
    }

    pub fn native(&self) -> SocketAddr {
        self.running().native_addr()
    }

    pub fn cluster(&self) -> Option<SocketAddr> {
        self.running().cluster_addr()
    }

    pub fn grpc(&self) -> SocketAddr {
        self.running().grpc_addr()
    }

    pub fn rest(&self) -> Option<SocketAddr> {
        self.running().rest_addr()
    }

    pub fn metrics(&self) -> Option<SocketAddr> {
        self.running().metrics_addr()
    }

    pub fn health(&self) -> Option<SocketAddr> {
        self.running().health_addr()
    }

    fn running(&self) -> &RunningBroker {
        self.running.as_ref().expect("it runs until it is dropped")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }
}

/// Status and body of one HTTP/1.1 request.
pub fn http(addr: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut socket = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    let mut reply = String::new();
    socket.read_to_string(&mut reply)?;
    let status = reply.split_whitespace().nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok((status, reply))
}
