//! A network that can be cut: one namespace for each node, joined by a bridge that the clients are on too.
//!
//! A cut is a routing rule of the receiver that drops what comes from one address, so that it is silent, works on open
//! connections at once, and has a direction.

use std::{
    net::Ipv4Addr,
    path::Path,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

/// Nodes that a network has room for.
pub const NODES: u8 = 9;

/// The network of one cluster; its namespaces go with it.
#[derive(Debug)]
pub struct Net {
    /// Short and unlike that of any other run.
    name: String,
    subnet: [u8; 2],
}

impl Net {
    /// # Errors
    /// Why this machine cannot have one.
    pub fn new() -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id().wrapping_mul(8) + NEXT.fetch_add(1, Ordering::Relaxed) % 8;
        let [.., a, b] = number.to_be_bytes();
        let net = Self { name: format!("fq{}", number % 1_000_000), subnet: [(a % 100) + 100, b] };
        let made = net.build();
        made.map(|()| net).map_err(|why| format!("no network namespaces: {why}"))
    }

    fn build(&self) -> Result<(), String> {
        let (bridge, [a, b]) = (self.bridge(), self.subnet);
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("addr add 10.{a}.{b}.254/24 dev {bridge}"))?;
        ip(&format!("link set {bridge} up"))?;
        (1..=NODES).try_for_each(|node| self.add(node, &bridge))
    }

    fn add(&self, node: u8, bridge: &str) -> Result<(), String> {
        let (space, outside, address) = (self.namespace(node), self.link(node), self.address(node));
        ip(&format!("netns add {space}"))?;
        ip(&format!("link add {outside} type veth peer name eth0 netns {space}"))?;
        ip(&format!("link set {outside} master {bridge} up"))?;
        ip(&format!("-n {space} addr add {address}/24 dev eth0"))?;
        ip(&format!("-n {space} link set lo up"))?;
        ip(&format!("-n {space} link set eth0 up"))?;
        // Rules come in order: the cuts must come before "this address is mine".
        ip(&format!("-n {space} rule add pref 100 lookup local"))?;
        ip(&format!("-n {space} rule del pref 0"))
    }

    fn bridge(&self) -> String {
        format!("{}b", self.name)
    }

    fn link(&self, node: u8) -> String {
        format!("{}v{node}", self.name)
    }

    fn namespace(&self, node: u8) -> String {
        format!("{}n{node}", self.name)
    }

    /// Where node 1.. is reached, by the others and by the clients.
    pub fn address(&self, node: u8) -> Ipv4Addr {
        let [a, b] = self.subnet;
        Ipv4Addr::new(10, a, b, node)
    }

    /// Gives a node a default route, as machines have one.
    pub fn leaves_by_the_bridge(&self, node: u8) {
        let [a, b] = self.subnet;
        ip(&format!("-n {} route add default via 10.{a}.{b}.254", self.namespace(node)))
            .expect("a route can be added");
    }

    /// Where the clients are, which every node reaches.
    pub fn clients(&self) -> Ipv4Addr {
        let [a, b] = self.subnet;
        Ipv4Addr::new(10, a, b, 254)
    }

    /// The words to put before a command that is to run on a node.
    pub fn inside(&self, node: u8) -> [String; 4] {
        [program().to_owned(), "netns".to_owned(), "exec".to_owned(), self.namespace(node)]
    }

    /// Nothing that `from` sends reaches `to` any more.
    pub fn cut(&self, from: u8, to: u8) {
        let (space, source) = (self.namespace(to), self.address(from));
        ip(&format!("-n {space} rule add pref {} from {source} iif eth0 blackhole", 10 + from))
            .expect("a rule can be added");
    }

    /// Everything reaches everyone again.
    pub fn heal(&self) {
        for (from, to) in pairs() {
            // Most were not cut.
            let _ = ip(&format!("-n {} rule del pref {}", self.namespace(to), 10 + from));
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // What was never made cannot be removed. The links go with their namespaces.
        for node in 1..=NODES {
            let _ = ip(&format!("netns del {}", self.namespace(node)));
        }
        let _ = ip(&format!("link del {}", self.bridge()));
    }
}

/// Every ordered pair of different nodes.
fn pairs() -> impl Iterator<Item = (u8, u8)> {
    (1..=NODES).flat_map(|from| (1..=NODES).filter(move |to| *to != from).map(move |to| (from, to)))
}

/// By its path, since the brokers' environment has none.
fn program() -> &'static str {
    let places = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];
    places.into_iter().find(|place| Path::new(place).exists()).unwrap_or("ip")
}

fn ip(arguments: &str) -> Result<(), String> {
    let Output { status, stderr, .. } = Command::new(program())
        .args(arguments.split_whitespace())
        .output()
        .map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&stderr);
    if status.success() { Ok(()) } else { Err(format!("ip {arguments}: {}", said.trim())) }
}
