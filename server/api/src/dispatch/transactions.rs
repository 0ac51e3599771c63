//! Idempotent producers; transactions are not built.

use flymq_proto::pb;

use super::{EngineBroker, not_built};
use crate::BrokerError;

impl EngineBroker {
    pub(super) async fn init_producer(
        &self,
        request: &pb::InitProducerRequest,
    ) -> Result<pb::InitProducerResponse, BrokerError> {
        if !request.transactional_id.is_empty() || request.transaction_timeout_ms != 0 {
            return Err(not_built("transactions (fields transactional_id and transaction_timeout_ms)"));
        }
        let producer_id = self.engine.new_producer().await?;
        Ok(pb::InitProducerResponse { producer_id, producer_epoch: 0 })
    }
}
