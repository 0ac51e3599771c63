//! Topics out of a backup: offsets stay, nothing mixes, a crash half-way leaves a restore that goes on.

use bytes::Bytes;
use flymq_engine::{Engine, EngineError, NewTopic, OffsetCommit, RestoreTopic, Target, TopicInfo};
use flymq_types::{Acks, Isolation, Offset, PartitionId};
use flymq_wire::batch::{BatchBuilder, ServerFields, stamp_header};

use crate::support::*;

const BACKUP: &str = "20260101T000000Z-0badcafe:1";

fn from_backup(name: &str, first: &[u64]) -> NewTopic {
    let first_offsets = first.iter().copied().map(Offset).collect();
    let restore = Some(RestoreTopic { backup: BACKUP.into(), first_offsets });
    NewTopic { restore, ..new_topic(name, u32::try_from(first.len()).unwrap()) }
}

/// A batch as a log had it.
fn stored(values: &[&str], base_offset: u64) -> Bytes {
    let mut bytes = batch(values).to_vec();
    stamp_header(&mut bytes, &ServerFields { base_offset, ..ServerFields::default() }).unwrap();
    bytes.into()
}

async fn restore(engine: &Engine, batches: &[Bytes]) -> Result<u64, EngineError> {
    let end = engine.restore_records(&topic("t"), PartitionId(0), BACKUP, batches.to_vec()).await?;
    Ok(end.get())
}

fn edges(info: &TopicInfo) -> Vec<(u64, u64)> {
    info.partitions.iter().map(|p| (p.low.get(), p.high.get())).collect()
}

#[tokio::test]
async fn a_restore_survives_a_crash_and_keeps_offsets() {
    let node = Node::simulated();
    let engine = node.open().await;
    engine.create_topic(from_backup("t", &[500, 0, 7])).await.unwrap();
    let batches = [stored(&["a", "b"], 500), stored(&["c"], 502), stored(&["d"], 503)];
    assert_eq!(restore(&engine, &batches[..2]).await.unwrap(), 503);
    drop(engine);
    node.sim.crash_losing_all();
    let engine = node.open().await;
    let info = engine.topic(&topic("t")).unwrap();
    assert_eq!(info.restoring.as_deref(), Some(BACKUP));
    assert_eq!((edges(&info)[0].0, edges(&info)[2]), (500, (7, 7)));
    // What the crash took comes again, what is there is passed over.
    assert_eq!(restore(&engine, &batches).await.unwrap(), 504);
    assert_eq!(restore(&engine, &batches).await.unwrap(), 504);
    let group = group("g");
    let commit = OffsetCommit {
        topic: topic("t"),
        partition: PartitionId(0),
        offset: Offset(502),
        metadata: String::new(),
    };
    engine.commit_offsets(&group, vec![commit]).await.unwrap();
    let info = engine.finish_restore(&topic("t"), BACKUP).await.unwrap();
    assert_eq!((info.restoring, engine.finish_restore(&topic("t"), "other").await.is_ok()), (None, true));
    drop(engine);
    node.sim.crash_losing_all();
    let engine = node.open().await;
    assert_eq!(edges(&engine.topic(&topic("t")).unwrap()), [(500, 504), (0, 0), (7, 7)]);
    let fetched = engine.fetch(spec("t", 0, 500)).await.unwrap();
    let expected: Vec<_> = (500..).zip(["a", "b", "c", "d"].map(str::to_owned)).collect();
    assert_eq!(values(&fetched, 500), expected);
    assert_eq!(append(&engine, "t", 0, "e", Acks::All).await.base_offset, Offset(504));
    assert_eq!(append(&engine, "t", 2, "f", Acks::All).await.base_offset, Offset(7));
    assert_eq!(engine.committed(&group, None, None).unwrap()[0].offset, Offset(502));
}

#[tokio::test]
async fn half_a_topic_takes_and_shows_nothing() {
    let node = Node::simulated();
    let engine = node.open().await;
    engine.create_topic(from_backup("t", &[500])).await.unwrap();
    restore(&engine, &[stored(&["a"], 500)]).await.unwrap();
    let restoring = |result: Option<EngineError>| {
        assert!(matches!(result, Some(EngineError::Restoring { .. })), "{result:?}");
    };
    let target = Target::Partition(PartitionId(0));
    restoring(engine.append(&topic("t"), target, batch(&["x"]), Acks::Leader).await.err());
    restoring(engine.fetch(spec("t", 0, 500)).await.err());
    restoring(
        engine
            .find_offset(
                &topic("t"),
                PartitionId(0),
                flymq_engine::StartFrom::Latest,
                Isolation::ReadCommitted,
            )
            .await
            .err(),
    );
    engine.delete_topic(&topic("t")).await.unwrap();
    assert!(not_found(engine.topic(&topic("t"))));
}

#[tokio::test]
async fn what_does_not_belong_is_refused() {
    let node = Node::simulated();
    let engine = node.open().await;
    let bad = [
        engine.create_topic(NewTopic { partitions: Some(2), ..from_backup("t", &[1]) }).await,
        engine.create_topic(from_backup("t", &[u64::MAX])).await,
    ];
    for result in bad {
        assert!(matches!(result, Err(EngineError::InvalidArgument { .. })), "{result:?}");
    }
    engine.create_topic(new_topic("whole", 1)).await.unwrap();
    let whole =
        engine.restore_records(&topic("whole"), PartitionId(0), BACKUP, vec![stored(&["a"], 0)]).await;
    assert!(matches!(whole, Err(EngineError::NotRestoring { .. })), "{whole:?}");
    engine.create_topic(from_backup("t", &[500])).await.unwrap();
    let other = engine.restore_records(&topic("t"), PartitionId(0), "other", vec![stored(&["a"], 500)]).await;
    assert!(matches!(other, Err(EngineError::NotRestoring { .. })), "{other:?}");
    assert!(matches!(
        engine.finish_restore(&topic("t"), "other").await,
        Err(EngineError::NotRestoring { .. })
    ));
    for (first, second) in [(501, 502), (500, 502), (499, 500)] {
        let gap = restore(&engine, &[stored(&["a"], first), stored(&["b", "c"], second)]).await;
        let refused = matches!(gap, Err(EngineError::OffsetOutOfRange { end: Offset(500), .. }));
        assert!(refused || first == 499, "{first}: {gap:?}");
    }
    let mut torn = stored(&["abc"], 500).to_vec();
    let last = torn.len() - 1;
    torn[last] ^= 1;
    assert!(matches!(restore(&engine, &[torn.into()]).await, Err(EngineError::InvalidBatch(_))));
    // A hole that the backup knows of comes as an empty batch that spans it.
    let mut hole = BatchBuilder::compacted(40, 0).build_mut().unwrap();
    stamp_header(&mut hole, &ServerFields { base_offset: 502, ..ServerFields::default() }).unwrap();
    assert_eq!(restore(&engine, &[hole.freeze(), stored(&["z"], 542)]).await.unwrap(), 543);
    engine.finish_restore(&topic("t"), BACKUP).await.unwrap();
    let found = engine.fetch(spec("t", 0, 502)).await.unwrap();
    assert_eq!(values(&found, 502), [(542, "z".to_owned())]);
}
