//! Metadata as it stands on disk and goes between nodes ⇄ as the engine knows it.

mod cluster;
mod config;
mod field;
mod image;
mod partition;
mod schemas;
mod topic;

use flymq_engine::meta::{AllocateProducerIds, Command, RaiseFeatures};
use flymq_proto::internal as pb;

pub(crate) use image::{image_from_pb, image_to_pb};

/// Why stored metadata makes no sense to this build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConvertError {
    #[error("a command that this build does not know: use a newer FlyMQ")]
    UnknownCommand,
    #[error("a field has a value that it cannot have: {0}")]
    Field(&'static str),
}

type Result<T> = std::result::Result<T, ConvertError>;

pub(crate) fn proposal_to_pb(commands: &[Command]) -> pb::Proposal {
    pb::Proposal { commands: commands.iter().map(command_to_pb).collect() }
}

pub(crate) fn proposal_from_pb(proposal: pb::Proposal) -> Result<Vec<Command>> {
    proposal.commands.into_iter().map(command_from_pb).collect()
}

fn command_to_pb(command: &Command) -> pb::Command {
    use pb::command::Command as Pb;
    let command = match command {
        Command::CreateTopic(create) => Pb::CreateTopic(topic::create_to_pb(create)),
        Command::DeleteTopic(delete) => Pb::DeleteTopic(topic::delete_to_pb(delete)),
        Command::AlterTopic(alter) => Pb::AlterTopic(topic::alter_to_pb(alter)),
        Command::FinishRestore(finish) => Pb::FinishRestore(topic::finish_to_pb(finish)),
        Command::FormCluster(form) => Pb::FormCluster(cluster::form_to_pb(form)),
        Command::RegisterBroker(register) => Pb::RegisterBroker(cluster::register_to_pb(register)),
        Command::FenceBroker(fence) => Pb::FenceBroker(cluster::fence_to_pb(fence)),
        Command::UnfenceBroker(unfence) => Pb::UnfenceBroker(cluster::unfence_to_pb(unfence)),
        Command::DrainBroker(drain) => Pb::DrainBroker(cluster::drain_to_pb(drain)),
        Command::RemoveBroker(remove) => Pb::RemoveBroker(cluster::remove_to_pb(remove)),
        Command::AlterIsr(alter) => Pb::AlterIsr(partition::alter_to_pb(alter)),
        Command::Reassign(reassign) => Pb::Reassign(partition::reassign_to_pb(reassign)),
        Command::ElectPreferred(elect) => Pb::ElectPreferred(partition::elect_to_pb(elect)),
        Command::TransferLeader(transfer) => Pb::TransferLeader(partition::transfer_to_pb(transfer)),
        Command::ResignLeader(resign) => Pb::ResignLeader(partition::resign_to_pb(resign)),
        Command::AllocateProducerIds(AllocateProducerIds { count, at_least }) => {
            Pb::AllocateProducerIds(pb::AllocateProducerIds { count: *count, at_least: *at_least })
        }
        Command::RaiseFeatures(raise) => Pb::RaiseFeatures(pb::RaiseFeatures { version: raise.version }),
        Command::RegisterSchema(register) => Pb::RegisterSchema(schemas::register_to_pb(register)),
        Command::DeleteSchema(delete) => Pb::DeleteSchema(schemas::delete_to_pb(delete)),
        Command::SetCompatibility(set) => Pb::SetCompatibility(schemas::set_to_pb(set)),
    };
    pb::Command { command: Some(command) }
}

fn command_from_pb(command: pb::Command) -> Result<Command> {
    use pb::command::Command as Pb;
    Ok(match command.command.ok_or(ConvertError::UnknownCommand)? {
        Pb::CreateTopic(create) => Command::CreateTopic(topic::create_from_pb(create)?),
        Pb::DeleteTopic(delete) => Command::DeleteTopic(topic::delete_from_pb(&delete)?),
        Pb::AlterTopic(alter) => Command::AlterTopic(topic::alter_from_pb(alter)?),
        Pb::FinishRestore(finish) => Command::FinishRestore(topic::finish_from_pb(finish)?),
        Pb::FormCluster(form) => Command::FormCluster(cluster::form_from_pb(&form)?),
        Pb::RegisterBroker(register) => Command::RegisterBroker(cluster::register_from_pb(register)?),
        Pb::FenceBroker(fence) => Command::FenceBroker(cluster::fence_from_pb(&fence)?),
        Pb::UnfenceBroker(unfence) => Command::UnfenceBroker(cluster::unfence_from_pb(&unfence)?),
        Pb::DrainBroker(drain) => Command::DrainBroker(cluster::drain_from_pb(&drain)?),
        Pb::RemoveBroker(remove) => Command::RemoveBroker(cluster::remove_from_pb(&remove)?),
        Pb::AlterIsr(alter) => Command::AlterIsr(partition::alter_from_pb(alter)?),
        Pb::Reassign(reassign) => Command::Reassign(partition::reassign_from_pb(reassign)?),
        Pb::ElectPreferred(elect) => Command::ElectPreferred(partition::elect_from_pb(elect)?),
        Pb::TransferLeader(transfer) => Command::TransferLeader(partition::transfer_from_pb(transfer)?),
        Pb::ResignLeader(resign) => Command::ResignLeader(partition::resign_from_pb(resign)?),
        Pb::AllocateProducerIds(pb::AllocateProducerIds { count, at_least }) => {
            Command::AllocateProducerIds(AllocateProducerIds { count, at_least })
        }
        Pb::RaiseFeatures(raise) => Command::RaiseFeatures(RaiseFeatures { version: raise.version }),
        Pb::RegisterSchema(register) => Command::RegisterSchema(schemas::register_from_pb(register)?),
        Pb::DeleteSchema(delete) => Command::DeleteSchema(schemas::delete_from_pb(&delete)),
        Pb::SetCompatibility(set) => Command::SetCompatibility(schemas::set_from_pb(&set)?),
    })
}

#[cfg(test)]
mod tests;
