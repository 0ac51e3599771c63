//! Numbers: `int`, `uint` and `double` compare by value. JSON does not say which of them a number is, so arithmetic takes them
//! together: as doubles where one is a double, else as integers that are checked.

use std::cmp::Ordering;

use super::{
    node::Op,
    value::{Fault, Value},
};

const OVERFLOW: Fault = Fault::Arithmetic("the result is out of range");

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(int) => Some(i128::from(*int)),
        Value::Uint(uint) => Some(i128::from(*uint)),
        _ => None,
    }
}

fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(double) => Some(*double),
        other => whole(other).map(|whole| whole as f64),
    }
}

/// Outer `None`: one is no number. Inner: one is not a number (NaN).
pub(super) fn compare(a: &Value<'_>, b: &Value<'_>) -> Option<Option<Ordering>> {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(Some(a.cmp(&b))),
        (Some(a), None) => Some(beside(a, double(b)?)),
        (None, Some(b)) => Some(beside(b, double(a)?).map(Ordering::reverse)),
        (None, None) => Some(double(a)?.partial_cmp(&double(b)?)),
    }
}

/// A whole number beside a double, exactly: most of 64 bits are no double.
fn beside(whole: i128, double: f64) -> Option<Ordering> {
    let floor = double.floor();
    // What does not fit is held at the ends, far from any 64 bits.
    match whole.cmp(&(floor as i128)) {
        _ if double.is_nan() => None,
        Ordering::Equal if double > floor => Some(Ordering::Less),
        order => Some(order),
    }
}

/// `+ - * / %` of two numbers; `None` where one is none.
///
/// # Errors
/// Out of range, division by zero.
pub(super) fn arithmetic<'a>(op: Op, a: &Value<'_>, b: &Value<'_>) -> Result<Option<Value<'a>>, Fault> {
    if let (Some(x), Some(y)) = (whole(a), whole(b)) {
        let unsigned = matches!((a, b), (Value::Uint(_), _) | (_, Value::Uint(_)));
        return integers(op, x, y, unsigned).map(Some);
    }
    let (Some(a), Some(b)) = (double(a), double(b)) else { return Ok(None) };
    Ok(match op {
        Op::Add => Some(a + b),
        Op::Subtract => Some(a - b),
        Op::Multiply => Some(a * b),
        Op::Divide => Some(a / b),
        _ => None,
    }
    .map(Value::Double))
}

fn integers<'a>(op: Op, a: i128, b: i128, unsigned: bool) -> Result<Value<'a>, Fault> {
    let result = match op {
        Op::Add => a.checked_add(b),
        Op::Subtract => a.checked_sub(b),
        Op::Multiply => a.checked_mul(b),
        Op::Divide | Op::Modulo if b == 0 => return Err(Fault::Arithmetic("division by zero")),
        Op::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    };
    let result = result.ok_or(OVERFLOW)?;
    match (i64::try_from(result), u64::try_from(result)) {
        (Ok(int), _) if !unsigned || int < 0 => Ok(Value::Int(int)),
        (_, Ok(uint)) if unsigned => Ok(Value::Uint(uint)),
        _ => Err(OVERFLOW),
    }
}

/// The negative of a number.
///
/// # Errors
/// When it is none, or out of range.
pub(super) fn negate<'a>(value: &Value<'_>) -> Result<Value<'a>, Fault> {
    match value {
        Value::Int(int) => int.checked_neg().map(Value::Int).ok_or(OVERFLOW),
        Value::Double(double) => Ok(Value::Double(-double)),
        Value::Duration(length) => length.checked_neg().map(Value::Duration).ok_or(OVERFLOW),
        other => Err(Fault::Types { op: "-", of: other.type_name().to_owned() }),
    }
}
