//! A stand-in for a cluster that speaks the native protocol: leaders that move, nodes that die or fall silent at the moment a
//! test chooses. What real brokers do in a cluster is tested with real brokers; here it is the client that is looked at.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use flymq_client::{ErrorCode, pb};
use flymq_proto::rpcs;
use flymq_wire::{
    batch::{BatchHeader, ServerFields, stamp_header},
    frame::{FrameDecoder, FrameParts, Version},
    v2::{self, Message, flag},
};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};

pub const TOPIC: &str = "t";

type Refused = Box<pb::ErrorDetail>;

struct Partition {
    leader: Option<usize>,
    epoch: u32,
    /// First offset and bytes of each batch; every node has them.
    batches: Vec<(u64, Bytes)>,
    end: u64,
}

struct State {
    addrs: Vec<SocketAddr>,
    partitions: Vec<Partition>,
    /// Node that got each produce, by partition: what the client's routing is judged by.
    produced_at: Vec<(usize, i32)>,
    metadata_asked: usize,
    /// What nodes that are cut off from the others go on saying.
    stale: HashMap<usize, Vec<pb::PartitionMetadata>>,
}

/// The cluster.
#[derive(Clone)]
pub struct Cluster {
    state: Arc<Mutex<State>>,
    /// Raised by every change.
    changed: Arc<watch::Sender<u64>>,
    nodes: Arc<Mutex<Vec<Node>>>,
}

struct Node {
    tasks: JoinSet<()>,
    silent: Arc<AtomicBool>,
}

impl Cluster {
    /// As many nodes as partitions; each leads the partition of its number.
    pub async fn start(nodes: usize) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..nodes {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
        }
        let addrs = listeners.iter().map(|l| l.local_addr().expect("bound")).collect();
        let partition = |node| Partition { leader: Some(node), epoch: 1, batches: Vec::new(), end: 0 };
        let partitions = (0..nodes).map(partition).collect();
        let state =
            State { addrs, partitions, produced_at: Vec::new(), metadata_asked: 0, stale: HashMap::new() };
        let cluster = Self {
            state: Arc::new(Mutex::new(state)),
            changed: Arc::new(watch::Sender::new(0)),
            nodes: Arc::default(),
        };
        for (number, listener) in listeners.into_iter().enumerate() {
            let silent = Arc::new(AtomicBool::new(false));
            let mut tasks = JoinSet::new();
            tasks.spawn(accept(cluster.clone(), number, listener, Arc::clone(&silent)));
            cluster.nodes.lock().push(Node { tasks, silent });
        }
        cluster
    }

    pub fn addr(&self, node: usize) -> String {
        self.state.lock().addrs[node].to_string()
    }

    /// Ends a node as kill -9 does: its port is closed and its connections are reset. What it led has no leader.
    pub async fn kill(&self, node: usize) {
        let mut tasks = std::mem::take(&mut self.nodes.lock()[node].tasks);
        tasks.shutdown().await;
        let led = self.led_by(node);
        led.into_iter().for_each(|partition| self.lead(partition, None));
    }

    /// The node takes connections and requests, and answers none any more.
    pub fn silence(&self, node: usize) {
        self.nodes.lock()[node].silent.store(true, Ordering::Relaxed);
    }

    /// The node does not hear of the others any more, nor they of it; clients reach it. It knows that it may not lead.
    pub fn cut_off(&self, node: usize) {
        let known = self.partitions(node);
        self.state.lock().stale.insert(node, known);
    }

    pub fn led_by(&self, node: usize) -> Vec<usize> {
        let state = self.state.lock();
        (0..state.partitions.len()).filter(|p| state.partitions[*p].leader == Some(node)).collect()
    }

    /// Another node leads the partition, or none.
    pub fn lead(&self, partition: usize, leader: Option<usize>) {
        {
            let mut state = self.state.lock();
            let partition = &mut state.partitions[partition];
            partition.leader = leader;
            partition.epoch += 1;
        }
        self.changed.send_modify(|version| *version += 1);
    }

    /// Produces so far: the node that got each, and its partition.
    pub fn produced_at(&self) -> Vec<(usize, i32)> {
        self.state.lock().produced_at.clone()
    }

    pub fn metadata_asked(&self) -> usize {
        self.state.lock().metadata_asked
    }

    /// As a node has it.
    fn partitions(&self, node: usize) -> Vec<pb::PartitionMetadata> {
        let state = self.state.lock();
        if let Some(stale) = state.stale.get(&node) {
            return stale.clone();
        }
        let name = |node: usize| format!("n{node}");
        let told = state.partitions.iter().enumerate().map(|(number, partition)| pb::PartitionMetadata {
            partition: i32::try_from(number).expect("few"),
            leader: partition.leader.map(name).unwrap_or_default(),
            leader_addr: partition.leader.map(|node| state.addrs[node].to_string()).unwrap_or_default(),
            leader_epoch: partition.epoch,
            ..Default::default()
        });
        told.collect()
    }

    fn members(&self) -> Vec<pb::ClusterMember> {
        let addrs = self.state.lock().addrs.clone();
        let member = |(number, addr): (usize, &SocketAddr)| pb::ClusterMember {
            node_id: format!("n{number}"),
            client_addr: addr.to_string(),
            ..Default::default()
        };
        addrs.iter().enumerate().map(member).collect()
    }

    /// Refuses what another node leads.
    fn check_leader(&self, node: usize, partition: i32) -> Result<usize, Refused> {
        let number = usize::try_from(partition).unwrap_or(0);
        let told = self.partitions(node).swap_remove(number);
        if told.leader == format!("n{node}") && !self.state.lock().stale.contains_key(&node) {
            return Ok(number);
        }
        let facts = [
            ("topic", TOPIC.to_owned()),
            ("partition", number.to_string()),
            ("leader", told.leader),
            ("leader_addr", told.leader_addr),
            ("leader_epoch", told.leader_epoch.to_string()),
        ];
        let metadata =
            facts.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.to_owned(), v)).collect();
        let message = "not leader".to_owned();
        let code = ErrorCode::NotLeader.into();
        Err(Box::new(pb::ErrorDetail { code, message, retryable: true, metadata, ..Default::default() }))
    }

    fn append(&self, node: usize, body: &v2::ProduceBody) -> Result<v2::ProduceReply, Refused> {
        let number = self.check_leader(node, body.partition)?;
        let header = BatchHeader::parse(&body.batch).expect("the client sends whole batches");
        let mut state = self.state.lock();
        let asked = i32::try_from(number).expect("few");
        state.produced_at.push((node, asked));
        let partition = &mut state.partitions[number];
        let base_offset = partition.end;
        let mut stored = BytesMut::from(&body.batch[..]);
        let fields = ServerFields {
            base_offset,
            leader_epoch: partition.epoch,
            chain: 0,
            incarnation: 1,
            append_time: 1,
        };
        stamp_header(&mut stored, &fields).expect("a whole header");
        partition.batches.push((base_offset, stored.freeze()));
        partition.end += u64::from(header.record_count);
        drop(state);
        self.changed.send_modify(|version| *version += 1);
        Ok(v2::ProduceReply { partition: asked, base_offset, append_time: 1 })
    }

    fn read(&self, number: usize, from: u64) -> (Vec<Bytes>, u64) {
        let state = self.state.lock();
        let partition = &state.partitions[number];
        let ends = partition.batches.iter().skip(1).map(|(base, _)| *base).chain([partition.end]);
        let wanted = partition.batches.iter().zip(ends).filter(|(_, end)| *end > from);
        (wanted.map(|((_, bytes), _)| bytes.clone()).collect(), partition.end)
    }

    fn edge(&self, request: &pb::FindOffsetRequest) -> u64 {
        let number = usize::try_from(request.partition).unwrap_or(0);
        if request.at() == pb::StartFrom::Earliest { 0 } else { self.state.lock().partitions[number].end }
    }
}

async fn accept(cluster: Cluster, node: usize, listener: TcpListener, silent: Arc<AtomicBool>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("accepts");
        connections.spawn(serve(cluster.clone(), node, socket, Arc::clone(&silent)));
    }
}

async fn serve(cluster: Cluster, node: usize, socket: TcpStream, silent: Arc<AtomicBool>) {
    let (mut read, mut write) = socket.into_split();
    let (replies, mut waiting) = mpsc::unbounded_channel::<FrameParts>();
    let mut tasks = JoinSet::new();
    let quiet = Arc::clone(&silent);
    tasks.spawn(async move {
        while let Some(mut frame) = waiting.recv().await {
            if !quiet.load(Ordering::Relaxed) {
                let bytes = frame.copy_to_bytes(frame.remaining());
                let _ = write.write_all(&bytes).await;
            }
        }
    });
    let mut decoder = FrameDecoder::default().with_version(Version::V2);
    let mut buffer = BytesMut::new();
    loop {
        while let Ok(Some(frame)) = decoder.decode(&mut buffer) {
            if silent.load(Ordering::Relaxed) {
                continue;
            }
            let message = Message::from_frame(frame).expect("the client's own frame");
            let (cluster, replies) = (cluster.clone(), replies.clone());
            if message.op == v2::op::PRODUCE && message.flags & flag::PROTOBUF == 0 {
                // In the order in which they come.
                answer(cluster, node, message, replies).await;
            } else {
                // As the server does, which begins with each request before it reads the next one.
                let mut answering = Box::pin(answer(cluster, node, message, replies));
                if futures::poll!(&mut answering).is_pending() {
                    tasks.spawn(answering);
                }
            }
        }
        if !matches!(read.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

async fn answer(cluster: Cluster, node: usize, message: Message, replies: mpsc::UnboundedSender<FrameParts>) {
    let Message { op, correlation, .. } = message;
    let frame = match respond(&cluster, node, message, &replies).await {
        Ok(None) => return,
        Ok(Some(frame)) => frame,
        Err(detail) => {
            let body = detail.encode_to_vec().into();
            Message { op, flags: flag::ERROR, correlation, body }.into_frame().expect("small")
        }
    };
    let _ = replies.send(frame);
}

async fn respond(
    cluster: &Cluster,
    node: usize,
    message: Message,
    replies: &mpsc::UnboundedSender<FrameParts>,
) -> Result<Option<FrameParts>, Refused> {
    let Message { op, correlation, flags, body } = message;
    let reply = |body: Vec<u8>| {
        Some(Message { op, flags: 0, correlation, body: body.into() }.into_frame().expect("small"))
    };
    let rpc = rpcs().iter().find(|rpc| rpc.op.code == op).map(|rpc| rpc.name.as_str());
    match (op, rpc) {
        (v2::op::HELLO, _) => {
            let (node_id, features) = (format!("n{node}"), vec!["cluster".to_owned()]);
            Ok(reply(pb::HelloResponse { node_id, features, ..Default::default() }.encode_to_vec()))
        }
        (v2::op::PRODUCE, _) if flags & flag::PROTOBUF == 0 => {
            let produced = cluster.append(node, &v2::ProduceBody::decode(body).expect("its layout"))?;
            Ok(Some(produced.encode(correlation).expect("small")))
        }
        (v2::op::FETCH, _) => fetch(cluster, node, correlation, body).await.map(Some),
        (v2::op::SUBSCRIBE_STREAM, _) => {
            let request = pb::SubscribeRequest::decode(body).expect("its message");
            Err(push(cluster, node, correlation, &request, replies).await)
        }
        (_, Some("ListMembers")) => {
            Ok(reply(pb::ListMembersResponse { members: cluster.members(), stale_ms: 0 }.encode_to_vec()))
        }
        (_, Some("GetMetadata")) => {
            cluster.state.lock().metadata_asked += 1;
            let (name, partitions) = (TOPIC.to_owned(), cluster.partitions(node));
            let topic = pb::TopicMetadata { name, partitions, topic_id: "id".to_owned() };
            let members = cluster.members();
            let told = pb::GetMetadataResponse { members, topics: vec![topic], ..Default::default() };
            Ok(reply(told.encode_to_vec()))
        }
        (_, Some("GetHealth")) => Ok(reply(Vec::new())),
        (_, Some("FindOffset")) => {
            let request = pb::FindOffsetRequest::decode(body).expect("its message");
            let offset = cluster.edge(&request);
            Ok(reply(pb::FindOffsetResponse { offset, ..Default::default() }.encode_to_vec()))
        }
        // It knows of no repeated batches, and says so.
        (_, Some("InitProducer")) => {
            let (code, message) = (ErrorCode::Unimplemented.into(), "not known here".to_owned());
            Err(Box::new(pb::ErrorDetail { code, message, ..Default::default() }))
        }
        // CREDIT and CANCEL.
        (_, _) => Ok(None),
    }
}

async fn fetch(cluster: &Cluster, node: usize, correlation: u32, body: Bytes) -> Result<FrameParts, Refused> {
    let body = v2::FetchBody::decode(body).expect("its layout");
    let wait = Duration::from_millis(body.max_wait_ms.into());
    let mut changes = cluster.changed.subscribe();
    let ends = tokio::time::Instant::now() + wait;
    loop {
        let number = cluster.check_leader(node, body.partition)?;
        let (runs, end) = cluster.read(number, body.offset);
        let over = tokio::time::Instant::now() >= ends;
        if !runs.is_empty() || over {
            let reply =
                v2::FetchReply { high_watermark: end, log_start: 0, log_end: end, next_offset: end, runs };
            return Ok(reply.encode(correlation).expect("small"));
        }
        // Either way it is looked at again.
        let _ = tokio::time::timeout_at(ends, changes.changed()).await;
    }
}

/// Pushes until another node leads one of the partitions.
async fn push(
    cluster: &Cluster,
    node: usize,
    correlation: u32,
    request: &pb::SubscribeRequest,
    replies: &mpsc::UnboundedSender<FrameParts>,
) -> Refused {
    let all = || (0..i32::try_from(cluster.partitions(node).len()).expect("few")).collect();
    let partitions: Vec<i32> = if request.partitions.is_empty() { all() } else { request.partitions.clone() };
    let first = |partition: i32| match request.from() {
        pb::StartFrom::Offset => request.offset,
        pb::StartFrom::Earliest => 0,
        _ => cluster.edge(&pb::FindOffsetRequest { partition, ..Default::default() }),
    };
    let mut places: Vec<(i32, u64)> = partitions.into_iter().map(|p| (p, first(p))).collect();
    let mut changes = cluster.changed.subscribe();
    loop {
        for (partition, next) in &mut places {
            let number = match cluster.check_leader(node, *partition) {
                Ok(number) => number,
                Err(detail) => return detail,
            };
            let (runs, end) = cluster.read(number, *next);
            if !runs.is_empty() {
                *next = end;
                let push = v2::PushBody {
                    partition: *partition,
                    high_watermark: end,
                    next_offset: end,
                    topic: TOPIC.to_owned(),
                    runs,
                };
                let _ = replies.send(push.encode(correlation).expect("small"));
            }
        }
        changes.changed().await.expect("the cluster outlives its connections");
    }
}
