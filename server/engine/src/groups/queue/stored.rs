//! How a record of a group stands in `__consumer_offsets`, under version 1 and kind 4. All integers little-endian.
//!
//! | key | value |
//! |---|---|
//! | u8 version = 1 | u8 version = 1 |
//! | u8 kind = 4 (record of a queue) | u8 phase: 1 waiting, 2 locked, 3 doomed, 4 settled |
//! | u16 group length, group | u8 cause: 1 retries, 2 rejected, 3 replay |
//! | 16 bytes topic id | u32 attempts |
//! | u32 partition | u8 1 and u32 hash of its key, or u8 0 |
//! | u64 offset | i64 first failed, i64 last failed, Unix ms; 0: never |
//! | | u16 topic name length, name |
//! | | u16 error length, error, UTF-8 |
//! | | waiting: i64 from. Locked: i64 until, u16 member length, member. Doomed: u8 0, or u8 1, u64 producer id, u16 epoch |

use bytes::{Buf, BufMut};
use flymq_types::{Timestamp, TopicName};

use super::super::record::{UnknownRecord, put_text, take_text, take_u8};
use super::state::{Cause, Delivery, Phase};

const VERSION: u8 = 1;

impl Delivery {
    pub(in crate::groups) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.error.len() + self.topic.as_str().len());
        out.put_u8(VERSION);
        out.put_u8(match self.phase {
            Phase::Waiting { .. } => 1,
            Phase::Locked { .. } => 2,
            Phase::Doomed { .. } => 3,
            Phase::Settled => 4,
        });
        out.put_u8(match self.cause {
            Cause::Retries => 1,
            Cause::Rejected => 2,
            Cause::Replay => 3,
        });
        out.put_u32_le(self.attempts);
        out.put_u8(self.key.is_some().into());
        if let Some(key) = self.key {
            out.put_u32_le(key);
        }
        out.put_i64_le(self.first_failed.0);
        out.put_i64_le(self.last_failed.0);
        put_text(&mut out, self.topic.as_str().as_bytes());
        put_text(&mut out, self.error.as_bytes());
        match &self.phase {
            Phase::Waiting { from } => out.put_i64_le(from.0),
            Phase::Locked { until, member } => {
                out.put_i64_le(until.0);
                put_text(&mut out, member.as_bytes());
            }
            Phase::Doomed { by } => {
                out.put_u8(by.is_some().into());
                if let Some((producer, epoch)) = by {
                    out.put_u64_le(*producer);
                    out.put_u16_le(*epoch);
                }
            }
            Phase::Settled => {}
        }
        out
    }

    pub(in crate::groups) fn decode(mut bytes: &[u8]) -> Result<Self, UnknownRecord> {
        let bytes = &mut bytes;
        if take_u8(bytes)? != VERSION {
            return Err(UnknownRecord);
        }
        let phase = take_u8(bytes)?;
        let cause = match take_u8(bytes)? {
            1 => Cause::Retries,
            2 => Cause::Rejected,
            3 => Cause::Replay,
            _ => return Err(UnknownRecord),
        };
        let attempts = bytes.try_get_u32_le().map_err(|_| UnknownRecord)?;
        let key = match take_u8(bytes)? {
            0 => None,
            1 => Some(bytes.try_get_u32_le().map_err(|_| UnknownRecord)?),
            _ => return Err(UnknownRecord),
        };
        let (first_failed, last_failed) = (take_time(bytes)?, take_time(bytes)?);
        let topic = TopicName::any(take_text(bytes)?).map_err(|_| UnknownRecord)?;
        let error = take_text(bytes)?.into();
        let phase = match phase {
            1 => Phase::Waiting { from: take_time(bytes)? },
            2 => Phase::Locked { until: take_time(bytes)?, member: take_text(bytes)?.into() },
            3 => Phase::Doomed { by: take_producer(bytes)? },
            4 => Phase::Settled,
            _ => return Err(UnknownRecord),
        };
        let read = Self { topic, phase, attempts, key, first_failed, last_failed, cause, error };
        if bytes.is_empty() { Ok(read) } else { Err(UnknownRecord) }
    }
}

fn take_time(bytes: &mut &[u8]) -> Result<Timestamp, UnknownRecord> {
    bytes.try_get_i64_le().map(Timestamp).map_err(|_| UnknownRecord)
}

fn take_producer(bytes: &mut &[u8]) -> Result<Option<(u64, u16)>, UnknownRecord> {
    match take_u8(bytes)? {
        0 => Ok(None),
        1 => {
            let producer = bytes.try_get_u64_le().map_err(|_| UnknownRecord)?;
            Ok(Some((producer, bytes.try_get_u16_le().map_err(|_| UnknownRecord)?)))
        }
        _ => Err(UnknownRecord),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_comes_back_and_no_cut_one_does() {
        let phases = [
            Phase::Waiting { from: Timestamp(7) },
            Phase::Locked { until: Timestamp(-1), member: "m".into() },
            Phase::Doomed { by: None },
            Phase::Doomed { by: Some((9, 2)) },
            Phase::Settled,
        ];
        for (phase, key) in phases.into_iter().zip([None, Some(5)].into_iter().cycle()) {
            let delivery = Delivery {
                topic: TopicName::new("t").unwrap(),
                phase,
                attempts: 3,
                key,
                first_failed: Timestamp(1),
                last_failed: Timestamp(2),
                cause: Cause::Rejected,
                error: "boom".into(),
            };
            let bytes = delivery.encode();
            for cut in 0..bytes.len() {
                assert_eq!(Delivery::decode(&bytes[..cut]), Err(UnknownRecord), "cut at {cut}");
            }
            assert_eq!(Delivery::decode(&bytes), Ok(delivery));
        }
    }

    /// The bytes are on disks: they may only change with a new version.
    #[test]
    fn golden_bytes() {
        let topic = TopicName::new("t").unwrap();
        let doomed = Delivery {
            phase: Phase::Doomed { by: Some((9, 2)) },
            ..Delivery::untouched(&topic, Some(5), Timestamp(0))
        };
        let golden = [
            &[1, 3, 1, 0, 0, 0, 0, 1, 5, 0, 0, 0][..],
            &[0; 16],
            &[1, 0, b't', 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0],
        ];
        assert_eq!(doomed.encode(), golden.concat());
    }
}
