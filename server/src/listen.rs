//! Every listener, bound before anything else starts, so that a taken port is found before data is touched.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use flymq_config::{Config, Host, Key, ListenAddr};
use tokio::net::TcpListener;

use crate::StartError;

/// The bound listeners; those that are switched off are `None`.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub native: TcpListener,
    pub grpc: TcpListener,
    pub rest: Option<TcpListener>,
    pub metrics: Option<TcpListener>,
    pub health: Option<TcpListener>,
    /// Opened by members of a cluster only.
    pub cluster: Option<TcpListener>,
}

/// Where the broker listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub native: SocketAddr,
    pub grpc: SocketAddr,
    pub rest: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
    pub health: Option<SocketAddr>,
    pub cluster: Option<SocketAddr>,
    /// Address of this machine that others reach, for listeners on all of them; none: its name has to do.
    pub outside: Option<IpAddr>,
}

impl Listeners {
    /// `member`: of a cluster, with a listener for the other nodes.
    pub async fn bind(config: &Config, member: bool) -> Result<Self, StartError> {
        let observability = &config.observability;
        let admin = &observability.admin;
        let (metrics, health) = (&observability.metrics, &observability.health);
        Ok(Self {
            native: bind("bind_addr", &config.listen.bind_addr).await?,
            grpc: bind("grpc_addr", &config.listen.grpc_addr).await?,
            rest: bind_if(admin.enabled, "observability.admin.addr", &admin.addr).await?,
            metrics: bind_if(metrics.enabled, "observability.metrics.addr", &metrics.addr).await?,
            health: bind_if(health.enabled, "observability.health.addr", &health.addr).await?,
            cluster: bind_if(member, "cluster_addr", &config.listen.cluster_addr).await?,
        })
    }

    pub fn addresses(&self) -> io::Result<Addresses> {
        let optional =
            |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose();
        Ok(Addresses {
            native: self.native.local_addr()?,
            grpc: self.grpc.local_addr()?,
            rest: optional(&self.rest)?,
            metrics: optional(&self.metrics)?,
            health: optional(&self.health)?,
            cluster: optional(&self.cluster)?,
            outside: None,
        })
    }
}

impl Addresses {
    /// host:port of the native door that other machines reach.
    pub fn advertised(&self) -> String {
        self.reachable(self.native)
    }

    /// host:port that other machines reach: an unspecified address has no host, so the one that was found takes its
    /// place, else the machine's name.
    pub fn reachable(&self, address: SocketAddr) -> String {
        match self.outside {
            _ if !address.ip().is_unspecified() => address.to_string(),
            Some(outside) => SocketAddr::new(outside, address.port()).to_string(),
            None => format!("{}:{}", Host::from_process().hostname, address.port()),
        }
    }
}

async fn bind_if(
    enabled: bool,
    key: &'static str,
    addr: &ListenAddr,
) -> Result<Option<TcpListener>, StartError> {
    if enabled { bind(key, addr).await.map(Some) } else { Ok(None) }
}

async fn bind(key: &'static str, addr: &ListenAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(addr.bind_target()).await.map_err(|source| {
        let env = Key::by_name(key).map_or("the configuration", |key| key.env);
        let addr = addr.clone();
        if source.kind() == io::ErrorKind::AddrInUse {
            StartError::PortInUse { key, env, addr }
        } else {
            StartError::Listen { key, env, addr, source }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_the_variable_to_change() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let error = bind("grpc_addr", &ListenAddr::loopback(port)).await.expect_err("the port is taken");
        let text = error.to_string();
        assert!(text.contains("FLYMQ_GRPC_ADDR") && text.contains(&port.to_string()), "{text}");
        assert_eq!(error.exit_code(), 4);
    }
}
