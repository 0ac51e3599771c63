//! A small cluster for the tests of the state machine.

use flymq_types::{
    BrokerEpoch, ClusterId, DirectoryId, IncarnationId, NodeId, PartitionId, Timestamp, TopicId, TopicName,
};

use super::*;
use crate::meta::{
    AlterIsr, CreateTopic, DrainBroker, FenceBroker, FormCluster, IsrMember, NodeAddresses, NodeRun,
    PartitionMeta, Reassign, RegisterBroker, ResignLeader, TopicPartition, TransferLeader, UnfenceBroker,
};
use crate::topic::TopicConfig;

pub(super) const CLUSTER: ClusterId = ClusterId::from_bytes([7; 16]);

pub(super) fn node(n: u8) -> NodeId {
    NodeId::new(&format!("n{n}")).unwrap()
}

pub(super) fn nodes(numbers: &[u8]) -> Vec<NodeId> {
    numbers.iter().map(|n| node(*n)).collect()
}

pub(super) fn topic_id(n: u8) -> TopicId {
    TopicId::from_bytes([n; 16])
}

pub(super) fn at(topic: u8, partition: u32) -> TopicPartition {
    let name = TopicName::new(&format!("t{topic}")).unwrap();
    TopicPartition { topic: topic_id(topic), name, partition: PartitionId(partition) }
}

pub(super) fn create(n: u8, partitions: u32, config: TopicConfig) -> Command {
    let TopicPartition { topic: id, name, .. } = at(n, 0);
    Command::CreateTopic(CreateTopic { id, name, partitions, config, created: Timestamp(0), restoring: None })
}

/// A registration by run `run` on directory `directory`.
pub(super) fn register(n: u8, run: u8, directory: u8, clean: bool) -> Command {
    let id16 = |a: u8| [n, a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    Command::RegisterBroker(RegisterBroker {
        cluster: CLUSTER,
        id: node(n),
        incarnation: IncarnationId::from_bytes(id16(run)),
        directory: DirectoryId::from_bytes(id16(directory)),
        clean,
        addresses: NodeAddresses::default(),
        rack: Some(format!("r{}", n % 3).into()),
        feature_version: 1,
        run: NodeRun::default(),
    })
}

pub(super) fn form(founder: u8) -> Command {
    let Command::RegisterBroker(register) = register(founder, 0, 0, true) else { unreachable!() };
    Command::FormCluster(FormCluster {
        cluster: CLUSTER,
        founder: register.id,
        directory: register.directory,
        features: 1,
    })
}

/// Whoever is in sync alone commits, so that nobody else is eligible.
pub(super) fn one_is_enough() -> TopicConfig {
    TopicConfig { min_insync_replicas: Some(1), ..TopicConfig::default() }
}

impl State {
    /// `count` active nodes from 1.
    pub(super) fn cluster(count: u8) -> Self {
        let mut state = Self::default();
        state.done(&form(1));
        for n in 1..=count {
            state.done(&register(n, 0, 0, true));
            state.unfence(n);
        }
        state
    }

    pub(super) fn done(&mut self, command: &Command) -> Reply {
        self.apply(command).0.unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"))
    }

    pub(super) fn refused(&mut self, command: &Command) -> Rejection {
        let before = self.image();
        let rejection = self.apply(command).0.expect_err("is refused");
        assert_eq!(self.image(), before, "nothing of a refused command applies");
        rejection
    }

    pub(super) fn epoch(&self, n: u8) -> BrokerEpoch {
        self.image.cluster.node(&node(n)).unwrap().broker_epoch
    }

    pub(super) fn fence(&mut self, n: u8) {
        self.done(&Command::FenceBroker(FenceBroker { id: node(n), broker_epoch: self.epoch(n) }));
    }

    pub(super) fn unfence(&mut self, n: u8) {
        self.done(&Command::UnfenceBroker(UnfenceBroker { id: node(n), broker_epoch: self.epoch(n) }));
    }

    pub(super) fn drain(&mut self, n: u8, hand_over: bool) -> Reply {
        let (id, broker_epoch) = (node(n), self.epoch(n));
        self.done(&Command::DrainBroker(DrainBroker { id, broker_epoch, hand_over }))
    }

    pub(super) fn partition(&self, at: &TopicPartition) -> PartitionMeta {
        PartitionMeta::clone(self.image.partition(at).unwrap())
    }

    /// As its leader would ask, now.
    pub(super) fn alter_isr(&self, at: &TopicPartition, isr: &[u8]) -> Command {
        let partition = self.partition(at);
        let member = |n: &u8| IsrMember { node: node(*n), broker_epoch: Some(self.epoch(*n)) };
        let leader = partition.leader.unwrap_or_else(|| node(1));
        let broker_epoch = self.image.cluster.node(&leader).map_or(BrokerEpoch(0), |node| node.broker_epoch);
        Command::AlterIsr(AlterIsr {
            at: at.clone(),
            leader,
            broker_epoch,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            new_isr: isr.iter().map(member).collect(),
        })
    }

    pub(super) fn reassign(&self, at: &TopicPartition, replicas: &[u8]) -> Command {
        let partition_epoch = self.partition(at).partition_epoch;
        Command::Reassign(Reassign {
            at: at.clone(),
            partition_epoch,
            replicas: nodes(replicas),
            throttle_bytes_per_s: 7_000,
        })
    }

    pub(super) fn transfer(&self, at: &TopicPartition, to: u8, unclean: bool) -> Command {
        let partition_epoch = self.partition(at).partition_epoch;
        Command::TransferLeader(TransferLeader { at: at.clone(), partition_epoch, to: node(to), unclean })
    }

    /// As its leader would ask, now.
    pub(super) fn resign(&self, at: &TopicPartition, corrupt: bool) -> Command {
        let partition = self.partition(at);
        let leader = partition.leader.unwrap_or_else(|| node(1));
        let broker_epoch = self.image.cluster.node(&leader).map_or(BrokerEpoch(0), |node| node.broker_epoch);
        let leader_epoch = partition.leader_epoch;
        Command::ResignLeader(ResignLeader { at: at.clone(), leader, broker_epoch, leader_epoch, corrupt })
    }

    /// A topic with one partition on exactly these replicas, all in sync; the first one leads.
    pub(super) fn topic_on(&mut self, n: u8, replicas: &[u8], config: TopicConfig) -> TopicPartition {
        let factor = u32::try_from(replicas.len()).unwrap();
        self.done(&create(n, 1, TopicConfig { replication_factor: Some(factor), ..config }));
        let at = at(n, 0);
        self.done(&self.reassign(&at, replicas));
        let all: Vec<u8> = (1..=9).filter(|n| self.partition(&at).replicas.contains(&node(*n))).collect();
        self.done(&self.alter_isr(&at, &all));
        self.done(&self.transfer(&at, replicas[0], false));
        let partition = self.partition(&at);
        assert_eq!((&partition.replicas, partition.isr.len()), (&nodes(replicas), replicas.len()));
        at
    }
}
