//! Timestamps and durations, in nanoseconds.

use super::{
    node::Op,
    value::{Fault, Value},
};

const RANGE: Fault = Fault::Arithmetic("the time is out of range");

/// `timestamp("2026-01-31T00:00:00Z")`, or seconds since 1970.
pub(super) fn timestamp<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    match value {
        Value::Time(_) => Some(value.clone()),
        Value::Int(seconds) => Some(Value::Time(i128::from(*seconds) * 1_000_000_000)),
        other => {
            let parsed: jiff::Timestamp = other.text()?.parse().ok()?;
            Some(Value::Time(parsed.as_nanosecond()))
        }
    }
}

/// `duration("1h30m")`.
pub(super) fn duration<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    match value {
        Value::Duration(_) => Some(value.clone()),
        other => {
            let parsed: jiff::SignedDuration = other.text()?.parse().ok()?;
            Some(Value::Duration(parsed.as_nanos()))
        }
    }
}

/// Sums and differences; `None` where one is no time, or they do not go together.
///
/// # Errors
/// Out of range.
pub(super) fn arithmetic<'a>(op: Op, a: &Value<'_>, b: &Value<'_>) -> Result<Option<Value<'a>>, Fault> {
    use Value::{Duration, Time};
    let sum = |a: &i128, b: &i128| a.checked_add(*b).ok_or(RANGE);
    let less = |a: &i128, b: &i128| a.checked_sub(*b).ok_or(RANGE);
    Ok(Some(match (op, a, b) {
        (Op::Add, Time(a), Duration(b)) | (Op::Add, Duration(a), Time(b)) => Time(sum(a, b)?),
        (Op::Add, Duration(a), Duration(b)) => Duration(sum(a, b)?),
        (Op::Subtract, Time(a), Duration(b)) => Time(less(a, b)?),
        (Op::Subtract, Time(a), Time(b)) | (Op::Subtract, Duration(a), Duration(b)) => Duration(less(a, b)?),
        _ => return Ok(None),
    }))
}
