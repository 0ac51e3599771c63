//! How a topic is indexed: settings in, state out.

use flymq_engine::{IndexConfig, IndexHealth, IndexStrategy, PartitionInfo};
use flymq_proto::pb;

use super::invalid;
use crate::BrokerError;

const DEFAULT_INTERVAL_BYTES: u32 = 4096;

/// Index settings that are named; whether they can hold is the engine's to say.
pub(crate) fn parse(options: &pb::IndexOptions) -> Result<IndexConfig, BrokerError> {
    let given = options.interval_bytes;
    let interval_bytes = if given == 0 { DEFAULT_INTERVAL_BYTES } else { given };
    let strategy = pb::IndexStrategy::try_from(options.strategy);
    let strategy = match strategy.map_err(|_| invalid("options.index.strategy", "no value of this enum"))? {
        pb::IndexStrategy::Unspecified | pb::IndexStrategy::Sparse => {
            IndexStrategy::SparseOffset { interval_bytes }
        }
        pb::IndexStrategy::Dense if given != 0 => {
            let reason = "the dense strategy has an entry for every batch: leave interval_bytes out";
            return Err(invalid("options.index.interval_bytes", reason));
        }
        pb::IndexStrategy::Dense => IndexStrategy::DenseOffset,
        pb::IndexStrategy::Time => IndexStrategy::Time { interval_bytes },
    };
    Ok(IndexConfig { strategy, headers: options.headers.clone() })
}

/// The settings in force.
pub(crate) fn message(strategy: IndexStrategy, own: Option<&IndexConfig>) -> pb::IndexOptions {
    let (strategy, interval_bytes) = match strategy {
        IndexStrategy::SparseOffset { interval_bytes } => (pb::IndexStrategy::Sparse, interval_bytes),
        IndexStrategy::DenseOffset => (pb::IndexStrategy::Dense, 0),
        IndexStrategy::Time { interval_bytes } => (pb::IndexStrategy::Time, interval_bytes),
    };
    let headers = own.map(|own| own.headers.clone()).unwrap_or_default();
    pb::IndexOptions { strategy: strategy.into(), interval_bytes, headers }
}

/// What a partition's indexes tell.
pub(crate) fn state(info: &PartitionInfo) -> pb::PartitionIndex {
    let index = &info.index;
    let health = match index.health {
        IndexHealth::Good => pb::IndexHealth::Good,
        IndexHealth::Partial => pb::IndexHealth::Partial,
        IndexHealth::InMemory => pb::IndexHealth::InMemory,
    };
    pb::PartitionIndex {
        health: health.into(),
        segments: u32::try_from(index.loaded).unwrap_or(u32::MAX),
        entries: index.entries,
        bytes: index.bytes,
        log_bytes: index.log_bytes,
        stale_bytes: index.stale_bytes,
        repairs: index.repairs,
        misled: info.index_misled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_in_and_come_out_again() {
        let options = |strategy: pb::IndexStrategy, interval_bytes| pb::IndexOptions {
            strategy: strategy.into(),
            interval_bytes,
            headers: vec!["id".to_owned()],
        };
        for given in [options(pb::IndexStrategy::Dense, 0), options(pb::IndexStrategy::Time, 700)] {
            let config = parse(&given).expect("holds");
            assert_eq!(message(config.strategy, Some(&config)), given);
        }
        let default = parse(&pb::IndexOptions::default()).expect("holds");
        assert_eq!(default.strategy, IndexStrategy::default());
        let error = parse(&options(pb::IndexStrategy::Dense, 700)).expect_err("refused");
        assert!(error.message.contains("leave interval_bytes out"), "{error:?}");
    }
}
