//! Evaluates a checked expression for one record.

use std::{cell::OnceCell, cmp::Ordering, rc::Rc};

use serde_json::Value as Json;

use super::{
    functions::{Function, bytes},
    node::{Const, Fold, Node, Op, Step, Variable},
    numbers, time,
    value::{Fault, Value, equal},
};
use crate::Record;

/// Steps for one record: an operation, an item of a list, 64 bytes of text that are looked at. Some ten milliseconds.
pub(super) const BUDGET: usize = 200_000;
/// Bytes of text in one step.
const TEXT_STEP: usize = 64;

type Evaluated<'a> = Result<Value<'a>, Fault>;

pub(super) struct Eval<'a> {
    record: &'a Record<'a>,
    /// The value as JSON, once an expression asks for it.
    document: &'a OnceCell<Option<Json>>,
    /// The key and the value as text, once an expression asks: whether bytes are UTF-8 is looked at once.
    key: OnceCell<Value<'a>>,
    text: OnceCell<Value<'a>>,
    locals: Vec<Value<'a>>,
    left: usize,
}

impl<'a> Eval<'a> {
    pub fn new(record: &'a Record<'a>, document: &'a OnceCell<Option<Json>>) -> Self {
        let (key, text) = (OnceCell::new(), OnceCell::new());
        Self { record, document, key, text, locals: Vec::new(), left: BUDGET }
    }

    fn pay(&mut self, steps: usize) -> Result<(), Fault> {
        self.left = self.left.checked_sub(steps).ok_or(Fault::TooCostly)?;
        Ok(())
    }

    pub fn run(&mut self, node: &'a Node) -> Evaluated<'a> {
        self.pay(1)?;
        match node {
            Node::Const(constant) => Ok(literal(constant)),
            Node::Variable(variable) => self.variable(*variable),
            Node::Local(at) => Ok(self.locals.get(*at).cloned().unwrap_or(Value::Null)),
            Node::Select { of, field } => {
                let of = self.run(of)?;
                of.field(field)?.ok_or_else(|| Fault::NoField(field.clone()))
            }
            Node::Has { of, field } => Ok(Value::Bool(self.run(of)?.field(field)?.is_some())),
            Node::Index(of, at) => {
                let (of, at) = (self.run(of)?, self.run(at)?);
                index(&of, &at)
            }
            Node::And(a, b) => self.either(a, b, false),
            Node::Or(a, b) => self.either(a, b, true),
            Node::Not(of) => truth(self.run(of)?, "!").map(|it| Value::Bool(!it)),
            Node::Negate(of) => numbers::negate(&self.run(of)?),
            Node::If(parts) => {
                let (condition, yes, no) = &**parts;
                if truth(self.run(condition)?, "?:")? { self.run(yes) } else { self.run(no) }
            }
            Node::NotFalse(of) => match self.run(of) {
                Err(Fault::TooCostly) => Err(Fault::TooCostly),
                found => Ok(Value::Bool(!matches!(found, Ok(Value::Bool(false))))),
            },
            Node::Binary(op, a, b) => {
                let (a, b) = (self.run(a)?, self.run(b)?);
                self.binary(*op, &a, &b)
            }
            Node::List(items) => self.all(items).map(|items| Value::List(Rc::new(items))),
            Node::Map(entries) => {
                let mut map = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    map.push((self.run(key)?, self.run(value)?));
                }
                Ok(Value::Map(Rc::new(map)))
            }
            Node::Call(function, args) => self.call(*function, args),
            Node::Matches(of, regex) => {
                let of = self.run(of)?;
                let text = bytes(&of).ok_or_else(|| unfit("matches", &[&of]))?;
                self.pay(text.len() / TEXT_STEP)?;
                Ok(Value::Bool(regex.is_match(text)))
            }
            Node::Fold(fold) => self.fold(fold),
        }
    }

    fn all(&mut self, nodes: &'a [Node]) -> Result<Vec<Value<'a>>, Fault> {
        nodes.iter().map(|node| self.run(node)).collect()
    }

    fn variable(&mut self, variable: Variable) -> Evaluated<'a> {
        let record = self.record;
        Ok(match variable {
            Variable::Topic => Value::Text(record.topic),
            Variable::Partition => Value::Int(i64::from(record.partition)),
            Variable::Offset => Value::Int(i64::try_from(record.offset).unwrap_or(i64::MAX)),
            Variable::Timestamp => Value::Time(i128::from(record.timestamp_ms) * 1_000_000),
            Variable::Key => self.key.get_or_init(|| of_bytes(record.key)).clone(),
            Variable::Text => self.text.get_or_init(|| of_bytes(record.value)).clone(),
            Variable::Value => {
                let Some(value) = record.value else { return Ok(Value::Null) };
                let document = self.document.get_or_init(|| serde_json::from_slice(value).ok());
                Value::of_json(document.as_ref().ok_or(Fault::NotJson)?)
            }
            Variable::Headers => {
                let entry = |(name, value)| (Value::Text(name), Value::of_bytes(value));
                let entries: Vec<_> = record.headers().map(entry).collect();
                let looked_at: usize =
                    entries.iter().filter_map(|(_, value)| bytes(value)).map(<[u8]>::len).sum();
                self.pay(entries.len() + looked_at / TEXT_STEP)?;
                Value::Map(Rc::new(entries))
            }
        })
    }

    /// `&&` and `||`: one side that decides makes up for a fault of the other.
    fn either(&mut self, a: &'a Node, b: &'a Node, decisive: bool) -> Evaluated<'a> {
        let op = if decisive { "||" } else { "&&" };
        let a = self.run(a).and_then(|a| truth(a, op));
        if a == Ok(decisive) || a == Err(Fault::TooCostly) {
            return a.map(Value::Bool);
        }
        let b = self.run(b).and_then(|b| truth(b, op));
        if b == Ok(decisive) || b == Err(Fault::TooCostly) {
            return b.map(Value::Bool);
        }
        a.and(b).map(Value::Bool)
    }

    fn call(&mut self, function: Function, args: &'a [Node]) -> Evaluated<'a> {
        let args = self.all(args)?;
        let looked_at: usize = args.iter().filter_map(bytes).map(<[u8]>::len).sum();
        self.pay(looked_at / TEXT_STEP)?;
        function.call(&args)
    }

    fn binary(&mut self, op: Op, a: &Value<'a>, b: &Value<'a>) -> Evaluated<'a> {
        match op {
            Op::Equal | Op::NotEqual => {
                let same = equal(a, b, &mut |steps| self.pay(steps))?;
                Ok(Value::Bool(same == (op == Op::Equal)))
            }
            Op::Less | Op::LessOrEqual | Op::Greater | Op::GreaterOrEqual => {
                let looked_at = bytes(a).map_or(0, <[u8]>::len).min(bytes(b).map_or(0, <[u8]>::len));
                self.pay(looked_at / TEXT_STEP)?;
                let order = order(a, b).ok_or_else(|| unfit(sign(op), &[a, b]))?;
                Ok(Value::Bool(order.is_some_and(|order| match op {
                    Op::Less => order == Ordering::Less,
                    Op::LessOrEqual => order != Ordering::Greater,
                    Op::Greater => order == Ordering::Greater,
                    _ => order != Ordering::Less,
                })))
            }
            Op::In => self.contains(b, a).map(Value::Bool),
            Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Modulo => self.arithmetic(op, a, b),
        }
    }

    /// `item in of`: among the items of a list, or the keys of a map.
    fn contains(&mut self, of: &Value<'a>, item: &Value<'a>) -> Result<bool, Fault> {
        if let (Some(name), "map") = (item.text(), of.type_name()) {
            return Ok(of.field(name)?.is_some());
        }
        let items = of.items().ok_or_else(|| unfit("in", &[item, of]))?;
        self.pay(items.len())?;
        for other in items {
            if equal(item, &other, &mut |steps| self.pay(steps))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn arithmetic(&mut self, op: Op, a: &Value<'a>, b: &Value<'a>) -> Evaluated<'a> {
        if let Some(number) = numbers::arithmetic(op, a, b)? {
            return Ok(number);
        }
        if let Some(time) = time::arithmetic(op, a, b)? {
            return Ok(time);
        }
        if op != Op::Add {
            return Err(unfit(sign(op), &[a, b]));
        }
        if let (Some(a), Some(b)) = (a.text(), b.text()) {
            self.pay((a.len() + b.len()) / TEXT_STEP)?;
            return Ok(Value::made([a, b].concat()));
        }
        if let ("list", "list") = (a.type_name(), b.type_name()) {
            self.pay(a.len().unwrap_or(0) + b.len().unwrap_or(0))?;
            let both = [a, b].into_iter().flat_map(|list| list.items().unwrap_or_default());
            return Ok(Value::List(Rc::new(both.collect())));
        }
        Err(unfit("+", &[a, b]))
    }

    fn fold(&mut self, fold: &'a Fold) -> Evaluated<'a> {
        let range = self.run(&fold.range)?;
        let items = range.items().ok_or_else(|| unfit("a comprehension", &[&range]))?;
        self.pay(items.len())?;
        let start = self.run(&fold.start)?;
        // What comprehensions further in have left behind when they failed.
        self.locals.truncate(fold.depth);
        self.locals.push(start);
        self.locals.push(Value::Null);
        let (depth, mut collected) = (fold.depth, Vec::new());
        for item in items {
            self.locals.truncate(depth + 2);
            self.locals[depth + 1] = item;
            if self.run(&fold.goes_on)?.is_false() {
                break;
            }
            match &fold.step {
                Step::Next(next) => self.advance(next, depth)?,
                Step::Collect { only, value } => {
                    let wanted = match only {
                        Some(only) => truth(self.run(only)?, "filter")?,
                        None => true,
                    };
                    if wanted {
                        collected.push(self.run(value)?);
                    }
                }
            }
        }
        self.locals.truncate(depth + 1);
        if let Step::Collect { .. } = fold.step {
            self.locals[depth] = Value::List(Rc::new(collected));
        }
        let result = self.run(&fold.result);
        self.locals.truncate(depth);
        result
    }

    fn advance(&mut self, next: &'a Node, depth: usize) -> Result<(), Fault> {
        let next = self.run(next)?;
        self.locals.truncate(depth + 2);
        self.locals[depth] = next;
        Ok(())
    }
}

fn of_bytes(bytes: Option<&[u8]>) -> Value<'_> {
    bytes.map_or(Value::Null, Value::of_bytes)
}

impl Value<'_> {
    fn is_false(&self) -> bool {
        matches!(self, Value::Bool(false))
    }
}

fn literal(constant: &Const) -> Value<'_> {
    match constant {
        Const::Null => Value::Null,
        Const::Bool(value) => Value::Bool(*value),
        Const::Int(value) => Value::Int(*value),
        Const::Uint(value) => Value::Uint(*value),
        Const::Double(value) => Value::Double(*value),
        Const::Text(text) => Value::Text(text),
        Const::Bytes(bytes) => Value::Bytes(bytes),
    }
}

fn truth(value: Value<'_>, op: &'static str) -> Result<bool, Fault> {
    match value {
        Value::Bool(it) => Ok(it),
        other => Err(unfit(op, &[&other])),
    }
}

fn index<'a>(of: &Value<'a>, at: &Value<'a>) -> Evaluated<'a> {
    if let (Some(name), "map") = (at.text(), of.type_name()) {
        return of.field(name)?.ok_or_else(|| Fault::NoField(name.to_owned()));
    }
    let place = match at {
        Value::Int(at) => usize::try_from(*at).ok(),
        Value::Uint(at) => usize::try_from(*at).ok(),
        _ => return Err(unfit("[]", &[of, at])),
    };
    let found = match of {
        Value::List(items) => place.and_then(|place| items.get(place)).cloned(),
        Value::Json(Json::Array(items)) => place.and_then(|place| items.get(place)).map(Value::of_json),
        _ => return Err(unfit("[]", &[of, at])),
    };
    found.ok_or(Fault::Arithmetic("the list has no item at this index"))
}

/// Outer `None`: they have no order. Inner: not a number.
fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Option<Ordering>> {
    if let (Some(a), Some(b)) = (a.text(), b.text()) {
        return Some(Some(a.cmp(b)));
    }
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(Some(a.cmp(b))),
        (Value::Bytes(a), Value::Bytes(b)) => Some(Some(a.cmp(b))),
        (Value::Time(a), Value::Time(b)) | (Value::Duration(a), Value::Duration(b)) => Some(Some(a.cmp(b))),
        _ => numbers::compare(a, b),
    }
}

fn sign(op: Op) -> &'static str {
    match op {
        Op::Add => "+",
        Op::Subtract => "-",
        Op::Multiply => "*",
        Op::Divide => "/",
        Op::Modulo => "%",
        Op::Equal => "==",
        Op::NotEqual => "!=",
        Op::Less => "<",
        Op::LessOrEqual => "<=",
        Op::Greater => ">",
        Op::GreaterOrEqual => ">=",
        Op::In => "in",
    }
}

fn unfit(op: &'static str, of: &[&Value<'_>]) -> Fault {
    let of: Vec<_> = of.iter().map(|value| value.type_name()).collect();
    Fault::Types { op, of: of.join(" and ") }
}
