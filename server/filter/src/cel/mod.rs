//! CEL, the Common Expression Language: parsed by the `cel` crate under limits, evaluated here under a budget.
//!
//! The crate's own evaluator has no bound on what an expression costs (a comprehension over a comprehension over a large
//! document), compiles a regular expression anew for every record and copies the document into its own values. This one
//! walks a tree that was checked once, reads the document where it stands, and stops after [`eval::BUDGET`] steps.

mod compile;
mod eval;
mod functions;
mod node;
mod numbers;
mod time;
mod value;

use node::{Node, Variable};
use value::Value;

use crate::{FilterKind, InvalidFilter, Record, Undecided};

/// A checked expression.
#[derive(Debug)]
pub(crate) struct Program {
    root: Node,
    /// Whether it looks at the value.
    value: bool,
}

impl Program {
    pub fn new(text: &str) -> Result<Self, InvalidFilter> {
        let (root, variables) = compile::compile(text)?;
        if let Node::Const(value) = &root
            && !matches!(value, node::Const::Bool(_))
        {
            let why = "the expression has the same value for all records; it has to be true or false";
            return Err(InvalidFilter::new(FilterKind::Cel, why));
        }
        let value = variables.contains(&Variable::Value) || variables.contains(&Variable::Text);
        Ok(Self { root, value })
    }

    pub fn asks_about_the_value(&self) -> bool {
        self.value
    }

    pub fn matches(&self, record: &Record<'_>) -> Result<bool, Undecided> {
        let document = std::cell::OnceCell::new();
        match eval::Eval::new(record, &document).run(&self.root) {
            Ok(Value::Bool(hit)) => Ok(hit),
            Ok(other) => {
                Err(Undecided::Failed(format!("the expression is a {}, not a bool", other.type_name())))
            }
            Err(fault) => Err(Undecided::Failed(fault.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
