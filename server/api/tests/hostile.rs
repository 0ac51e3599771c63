//! Requests that no honest client sends, for every rpc: each gets a typed answer of bounded size, and the broker goes on.

mod common;

use std::time::{Duration, Instant};

use common::{TestBroker, context, record};
use flymq_api::{ErrorCode, OPS, Request, pb};
use flymq_proto::rpcs;
use flymq_types::Limits;
use futures::{FutureExt as _, StreamExt as _};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, Value};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

const ROUNDS: usize = 40;
const LONG: usize = 250;

struct Hostile(StdRng);

impl Hostile {
    fn message(&mut self, of: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        for field in of.fields() {
            if self.0.random_ratio(1, 4) {
                continue;
            }
            let kind = field.kind();
            let value = if field.is_map() {
                Value::Map([(MapKey::String("k".to_owned()), Value::String(self.text()))].into())
            } else if field.is_list() {
                let count = *[0, 1, 3].choose(&mut self.0).expect("not empty");
                Value::List((0..count).map(|_| self.value(&kind, depth)).collect())
            } else {
                self.value(&kind, depth)
            };
            // A map with values of another kind than text: left out.
            let _ = message.try_set_field(&field, value);
        }
        message
    }

    fn value(&mut self, kind: &Kind, depth: usize) -> Value {
        let number = *[0, 1, 2, -1, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN]
            .choose(&mut self.0)
            .expect("not empty");
        match kind {
            Kind::Double => Value::F64(number as f64),
            Kind::Float => Value::F32(f32::NAN),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(number as u32),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(number as u64),
            Kind::Bool => Value::Bool(number > 0),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => {
                let size = *[0, 1, 95, 96, 97, 4096].choose(&mut self.0).expect("not empty");
                Value::Bytes((0..size).map(|_| self.0.random()).collect::<Vec<u8>>().into())
            }
            Kind::Message(of) if depth < 4 => Value::Message(self.message(of, depth + 1)),
            Kind::Message(of) => Value::Message(DynamicMessage::new(of.clone())),
            Kind::Enum(_) => Value::EnumNumber(number as i32),
        }
    }

    fn text(&mut self) -> String {
        let long = "x".repeat(LONG);
        let texts = [
            "",
            "t",
            "g",
            "..",
            "a/../b",
            "/",
            "__consumer_offsets",
            "nul\0",
            "line\n",
            "žluť",
            long.as_str(),
        ];
        (*texts.choose(&mut self.0).expect("not empty")).to_owned()
    }
}

#[tokio::test]
async fn every_rpc_survives_hostile_requests() {
    let broker = TestBroker::start().await;
    let mut hostile = Hostile(StdRng::seed_from_u64(7));
    for round in 0..ROUNDS {
        // Some requests delete it.
        broker.produce("t", Some(0), vec![record("k", "v")]).await.expect("the broker goes on");
        for (op, rpc) in OPS.iter().zip(rpcs()) {
            let body = hostile.message(&rpc.method.input(), 0).encode_to_vec();
            let mut ctx = context();
            ctx.deadline = Some(Instant::now() + Duration::from_secs(5));
            let Some(request) = Request::decode(op.id, body.clone().into()) else {
                subscribe(&broker, &body).await;
                continue;
            };
            let request = request.expect("it was encoded by the same descriptor");
            let shown = format!("round {round}: {request:.300?}");
            match broker.broker.call(ctx, request).await {
                Ok(answer) => assert!(answer.encode().len() <= Limits::DEFAULT.frame_bytes, "{shown}"),
                Err(error) => {
                    let broken = matches!(
                        error.code,
                        ErrorCode::Internal | ErrorCode::Unspecified | ErrorCode::Timeout
                    );
                    assert!(!broken, "{shown}: {error} {:?}", error.metadata);
                    assert!(error.to_string().len() < 2_000, "{shown}: the message is as long as the input");
                }
            }
        }
    }
}

async fn subscribe(broker: &TestBroker, body: &[u8]) {
    let request = pb::SubscribeRequest::decode(body).expect("it was encoded by the same descriptor");
    match broker.broker.subscribe(context(), request).await {
        Ok(mut stream) => {
            if let Some(Some(Err(error))) = stream.next().now_or_never() {
                assert_ne!(error.code, ErrorCode::Internal, "{error}");
            }
        }
        Err(error) => assert_ne!(error.code, ErrorCode::Internal, "{error}"),
    }
}
