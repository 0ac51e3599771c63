//! From text to a checked expression.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::{
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators as op},
    parser::PrattParser,
};

use super::{
    functions::Function,
    node::{Const, Fold, Node, Op, Step, Variable},
};
use crate::{FilterKind, InvalidFilter, regexes};

/// Brackets in brackets, as the parser counts.
const NESTING: u16 = 32;
/// Nodes of the parsed expression, macros expanded.
const NODES: usize = 2_000;
/// Longest chain from the root to a leaf: `a + b + c …` is as deep as it is long.
const DEPTH: usize = 96;

pub(super) fn compile(text: &str) -> Result<(Node, Vec<Variable>), InvalidFilter> {
    let ast = parse(text)?;
    let mut compiler = Compiler { text, locals: Vec::new(), variables: Vec::new(), depth: 0 };
    let root = compiler.node(&ast)?;
    Ok((root, compiler.variables))
}

fn parse(text: &str) -> Result<IdedExpr, InvalidFilter> {
    let refused = |why: String| InvalidFilter::new(FilterKind::Cel, why);
    let parser = PrattParser::new()
        .max_recursion_depth(NESTING)
        .max_expression_node_count(NODES)
        .error_recovery_limit(1)
        .error_reporting_limit(1);
    // It knows no text that makes it panic; should there be one, the broker still stands.
    let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse(text)));
    let errors = match parsed {
        Ok(Ok(ast)) => return Ok(ast),
        Ok(Err(errors)) => errors.errors,
        Err(_) => return Err(refused("the expression cannot be parsed".to_owned())),
    };
    // The ones without a place are about the parser's limits.
    let Some(first) = errors.iter().find(|error| error.pos.0 > 0).or(errors.first()) else {
        return Err(refused("the expression cannot be parsed".to_owned()));
    };
    let position = |(line, column): (isize, isize)| {
        let line = usize::try_from(line).ok().filter(|line| *line > 0)?;
        Some((line, usize::try_from(column).unwrap_or(0).max(1)))
    };
    Err(InvalidFilter { position: position(first.pos), ..refused(first.msg.clone()) })
}

struct Compiler<'a> {
    text: &'a str,
    /// Names of the comprehensions that this place stands in.
    locals: Vec<String>,
    variables: Vec<Variable>,
    depth: usize,
}

type Compiled<T = Node> = Result<T, InvalidFilter>;

impl Compiler<'_> {
    fn refused(&self, why: impl Into<String>, about: &str) -> InvalidFilter {
        let refused = InvalidFilter::new(FilterKind::Cel, why);
        // The parser does not tell places of a good expression; the first mention is where to look.
        match self.text.find(about).filter(|_| !about.is_empty()) {
            Some(at) => refused.at(self.text, at),
            None => refused,
        }
    }

    fn boxed(&mut self, expr: &IdedExpr) -> Compiled<Box<Node>> {
        self.node(expr).map(Box::new)
    }

    fn node(&mut self, expr: &IdedExpr) -> Compiled {
        if self.depth >= DEPTH {
            let why = format!("the expression is more than {DEPTH} operations deep");
            return Err(self.refused(why, ""));
        }
        self.depth += 1;
        let node = self.of(&expr.expr);
        self.depth -= 1;
        node
    }

    fn of(&mut self, expr: &Expr) -> Compiled {
        match expr {
            Expr::Literal(literal) => Ok(Node::Const(constant(literal))),
            Expr::Ident(name) => self.ident(name),
            Expr::Select(select) => {
                let (of, field) = (self.boxed(&select.operand)?, select.field.clone());
                Ok(if select.test { Node::Has { of, field } } else { Node::Select { of, field } })
            }
            Expr::List(list) if list.optional_indices.is_empty() => {
                Ok(Node::List(list.elements.iter().map(|item| self.node(item)).collect::<Result<_, _>>()?))
            }
            Expr::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(self.refused("messages are not known here", "{"));
                    };
                    entries.push((self.node(&entry.key)?, self.node(&entry.value)?));
                }
                Ok(Node::Map(entries))
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(fold) => self.fold(fold),
            Expr::Struct(new) => {
                Err(self.refused(format!("the type {:?} is not known", new.type_name), &new.type_name))
            }
            Expr::List(_) | Expr::Unspecified => Err(self.refused("this expression is not known", "")),
        }
    }

    fn ident(&mut self, name: &str) -> Compiled {
        if let Some(at) = self.locals.iter().rposition(|local| local == name) {
            return Ok(Node::Local(at));
        }
        let Some(variable) = Variable::by_name(name) else {
            let names: Vec<_> = Variable::NAMES.iter().map(|(name, _)| *name).collect();
            let why = format!("there is no variable {name:?}: use one of {}", names.join(", "));
            return Err(self.refused(why, name));
        };
        self.variables.push(variable);
        Ok(Node::Variable(variable))
    }

    fn call(&mut self, call: &CallExpr) -> Compiled {
        if let (None, [a, b]) = (&call.target, &call.args[..]) {
            if let Some(op) = binary(&call.func_name) {
                return Ok(Node::Binary(op, self.boxed(a)?, self.boxed(b)?));
            }
            match call.func_name.as_str() {
                op::LOGICAL_AND => return Ok(Node::And(self.boxed(a)?, self.boxed(b)?)),
                op::LOGICAL_OR => return Ok(Node::Or(self.boxed(a)?, self.boxed(b)?)),
                op::INDEX => return Ok(Node::Index(self.boxed(a)?, self.boxed(b)?)),
                _ => {}
            }
        }
        match (call.func_name.as_str(), &call.args[..]) {
            (op::LOGICAL_NOT, [a]) => Ok(Node::Not(self.boxed(a)?)),
            (op::NEGATE, [a]) => Ok(Node::Negate(self.boxed(a)?)),
            (op::NOT_STRICTLY_FALSE, [a]) => Ok(Node::NotFalse(self.boxed(a)?)),
            (op::CONDITIONAL, [a, b, c]) => {
                Ok(Node::If(Box::new((self.node(a)?, self.node(b)?, self.node(c)?))))
            }
            (name, _) => self.function(name, call),
        }
    }

    fn function(&mut self, name: &str, call: &CallExpr) -> Compiled {
        let args: Vec<&IdedExpr> = call.target.iter().map(|target| &**target).chain(&call.args).collect();
        if let ("matches", [of, pattern]) = (name, &args[..]) {
            let Expr::Literal(LiteralValue::String(pattern)) = &pattern.expr else {
                return Err(self.refused("the pattern of matches() has to be a literal text", "matches"));
            };
            let regex = regexes::compile(FilterKind::Cel, pattern.inner()).map_err(|invalid| {
                self.refused(format!("the pattern of matches(): {}", invalid.why), "matches")
            })?;
            return Ok(Node::Matches(self.boxed(of)?, Box::new(regex)));
        }
        let Some(function) = Function::find(name, args.len()) else {
            let why = match Function::counts(name).as_slice() {
                [] => format!("there is no function {name:?}: use one of {}", Function::names()),
                counts => {
                    let counts: Vec<_> = counts.iter().map(usize::to_string).collect();
                    format!("{name}() takes {} arguments, not {}", counts.join(" or "), args.len())
                }
            };
            return Err(self.refused(why, name));
        };
        Ok(Node::Call(function, args.into_iter().map(|arg| self.node(arg)).collect::<Result<_, _>>()?))
    }

    fn fold(&mut self, fold: &ComprehensionExpr) -> Compiled {
        if fold.iter_var2.is_some() {
            return Err(self.refused("comprehensions of two variables are not known", ""));
        }
        let (range, start) = (self.node(&fold.iter_range)?, self.node(&fold.accu_init)?);
        let depth = self.locals.len();
        self.locals.extend([fold.accu_var.clone(), fold.iter_var.clone()]);
        let goes_on = self.node(&fold.loop_cond);
        let step = self.step(fold);
        self.locals.truncate(depth + 1);
        let result = self.node(&fold.result);
        self.locals.truncate(depth);
        let (goes_on, step, result) = (goes_on?, step?, result?);
        Ok(Node::Fold(Box::new(Fold { range, depth, start, goes_on, step, result })))
    }

    /// `list + [value]`, alone or behind a condition, adds to the list in place.
    fn step(&mut self, fold: &ComprehensionExpr) -> Compiled<Step> {
        let (only, grows) = match &fold.loop_step.expr {
            Expr::Call(call) if call.func_name == op::CONDITIONAL && call.args.len() == 3 => {
                (Some(&call.args[0]), &call.args[1])
            }
            _ => (None, &fold.loop_step),
        };
        if let Expr::Call(call) = &grows.expr
            && call.func_name == op::ADD
            && let [list, added] = &call.args[..]
            && list.expr == Expr::Ident(fold.accu_var.clone())
            && let Expr::List(added) = &added.expr
            && let [value] = &added.elements[..]
        {
            let only = only.map(|only| self.node(only)).transpose()?;
            return Ok(Step::Collect { only, value: self.node(value)? });
        }
        self.node(&fold.loop_step).map(Step::Next)
    }
}

fn binary(name: &str) -> Option<Op> {
    Some(match name {
        op::ADD => Op::Add,
        op::SUBSTRACT => Op::Subtract,
        op::MULTIPLY => Op::Multiply,
        op::DIVIDE => Op::Divide,
        op::MODULO => Op::Modulo,
        op::EQUALS => Op::Equal,
        op::NOT_EQUALS => Op::NotEqual,
        op::LESS => Op::Less,
        op::LESS_EQUALS => Op::LessOrEqual,
        op::GREATER => Op::Greater,
        op::GREATER_EQUALS => Op::GreaterOrEqual,
        op::IN => Op::In,
        _ => return None,
    })
}

fn constant(literal: &LiteralValue) -> Const {
    match literal {
        LiteralValue::Boolean(value) => Const::Bool(*value.inner()),
        LiteralValue::Bytes(value) => Const::Bytes(value.inner().to_vec()),
        LiteralValue::Double(value) => Const::Double(*value.inner()),
        LiteralValue::Int(value) => Const::Int(*value.inner()),
        LiteralValue::Null => Const::Null,
        LiteralValue::String(value) => Const::Text(value.inner().to_owned()),
        LiteralValue::UInt(value) => Const::Uint(*value.inner()),
    }
}
