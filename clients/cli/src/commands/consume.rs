//! `consume`: what is there now.

use clap::Args;
use flymq_client::{ClientError, FetchSpec, Isolation, pb, serde::Serdes};

use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct Consume {
    pub topic: String,
    /// Only this partition; without it all, one after another.
    #[arg(short, long)]
    pub partition: Option<i32>,
    /// First offset; without it the first that is there.
    #[arg(long)]
    pub offset: Option<u64>,
    /// The last so many messages of each partition.
    #[arg(long, value_name = "N", conflicts_with = "offset")]
    pub tail: Option<u64>,
    /// Most messages to show.
    #[arg(short = 'n', long)]
    pub count: Option<usize>,
    /// Show offset and key: `[0] key=user-123: …`.
    #[arg(long)]
    pub show_key: bool,
    /// avro and protobuf read by the schema that each message names.
    #[arg(long, default_value = "string", value_parser = Serdes::NAMES)]
    pub decoder: String,
    /// Only messages that match: a piece of text, a regular expression, `$.path` in JSON, or `cel:EXPRESSION`.
    #[arg(long)]
    pub filter: Option<String>,
    /// read_uncommitted: also what belongs to transactions that are open or were aborted.
    #[arg(long, default_value = "read_committed", value_parser = ["read_committed", "read_uncommitted"], visible_alias = "isolation-level")]
    pub isolation: String,
}

/// By its name; clap has checked it.
pub fn isolation(name: &str) -> Isolation {
    if name == "read_uncommitted" { Isolation::ReadUncommitted } else { Isolation::ReadCommitted }
}

pub async fn run(context: &Context, args: &Consume) -> Result<(), Failure> {
    let decoder = Serdes::new(&context.client).get(&args.decoder)?;
    let topic = context.client.topic(&args.topic).await?;
    let partitions =
        topic.partitions.iter().filter(|p| args.partition.is_none_or(|want| want == p.partition));
    let mut left = args.count.unwrap_or(usize::MAX);
    let mut found = false;
    for partition in partitions {
        found = true;
        // It says that it has nothing, which is not known.
        if partition.state() == pb::PartitionState::Offline && partition.leader.is_empty() {
            return Err(ClientError::no_leader(&args.topic, partition.partition).into());
        }
        let first = first_offset(context, args, partition).await?;
        let mut spec = FetchSpec::new(args.topic.as_str(), partition.partition, first);
        spec.isolation = isolation(&args.isolation);
        spec.filter = args.filter.as_deref().map(Into::into);
        // Up to what was there when we began: a busy topic must not keep us. The last messages were counted back from a
        // later end.
        let mut end = match args.tail {
            Some(_) => u64::MAX,
            None => latest(context, args, partition, 0).await?,
        };
        let mut of_these = args.tail.map_or(usize::MAX, |tail| usize::try_from(tail).unwrap_or(usize::MAX));
        while left.min(of_these) > 0 && spec.offset < end {
            spec.max_messages = left.min(of_these).min(500);
            let fetched = context.client.fetch(&spec).await?;
            end = end.min(fetched.high_watermark);
            for message in fetched.messages.iter().filter(|m| m.offset < end) {
                output::message(message, context.format, args.show_key, &*decoder).await?;
                left -= 1;
                of_these -= 1;
            }
            if fetched.next_offset <= spec.offset {
                break;
            }
            spec.offset = fetched.next_offset;
        }
    }
    if !found {
        // Ask the server, so that the error is the one every client shows.
        let partition = args.partition.unwrap_or(0);
        context
            .client
            .fetch(&FetchSpec::new(args.topic.as_str(), partition, args.offset.unwrap_or(0)))
            .await?;
    }
    Ok(())
}

async fn first_offset(
    context: &Context,
    args: &Consume,
    partition: &pb::Partition,
) -> Result<u64, ClientError> {
    let Some(back) = args.tail.filter(|back| *back > 0) else {
        let nothing = args.tail.map(|_| partition.high_watermark);
        return Ok(args.offset.or(nothing).unwrap_or(partition.low_watermark));
    };
    latest(context, args, partition, back).await
}

/// The partition's end less `back` messages, from its leader: that one knows, or says that it does not.
async fn latest(
    context: &Context,
    args: &Consume,
    partition: &pb::Partition,
    back: u64,
) -> Result<u64, ClientError> {
    let request = pb::FindOffsetRequest {
        topic: args.topic.clone(),
        partition: partition.partition,
        at: pb::StartFrom::Latest.into(),
        back,
        isolation: isolation(&args.isolation).into(),
        ..pb::FindOffsetRequest::default()
    };
    let found: pb::FindOffsetResponse = context.client.call("FindOffset", &request).await?;
    Ok(found.offset)
}
