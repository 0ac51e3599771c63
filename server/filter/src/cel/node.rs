//! A checked expression.

use regex::bytes::Regex;

use super::functions::Function;

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Const {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What an expression can ask about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    /// The value as a JSON document.
    Value,
    /// The value as text.
    Text,
    Headers,
}

impl Variable {
    pub const NAMES: [(&'static str, Self); 8] = [
        ("topic", Self::Topic),
        ("partition", Self::Partition),
        ("offset", Self::Offset),
        ("timestamp", Self::Timestamp),
        ("key", Self::Key),
        ("value", Self::Value),
        ("text", Self::Text),
        ("headers", Self::Headers),
    ];

    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, variable)| *variable)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

#[derive(Debug)]
pub(super) enum Node {
    Const(Const),
    Variable(Variable),
    /// A variable of a comprehension, by its place on the stack.
    Local(usize),
    Select {
        of: Box<Node>,
        field: String,
    },
    Has {
        of: Box<Node>,
        field: String,
    },
    Index(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    If(Box<(Node, Node, Node)>),
    /// True unless it is false: what goes wrong does not end a comprehension.
    NotFalse(Box<Node>),
    Binary(Op, Box<Node>, Box<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Call(Function, Vec<Node>),
    Matches(Box<Node>, Box<Regex>),
    Fold(Box<Fold>),
}

/// `all`, `exists`, `exists_one`, `map` and `filter`, as the parser expands them. Its accumulator is the local at `depth`, the
/// item the one above.
#[derive(Debug)]
pub(super) struct Fold {
    pub range: Node,
    pub depth: usize,
    pub start: Node,
    pub goes_on: Node,
    pub step: Step,
    pub result: Node,
}

#[derive(Debug)]
pub(super) enum Step {
    /// The accumulator's next value.
    Next(Node),
    /// `map` and `filter`: the item's value is added to a list, where a condition holds.
    Collect { only: Option<Node>, value: Node },
}
