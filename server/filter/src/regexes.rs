//! Regular expressions of a linear-time engine, compiled under limits.

use regex::bytes::{Regex, RegexBuilder};

use crate::{FilterKind, InvalidFilter};

/// Memory of a compiled expression, bytes: `(a{1000}){1000}` is refused, not built.
const COMPILED_BYTES: usize = 4 << 20;
const CACHE_BYTES: usize = 4 << 20;
const NESTING: u32 = 64;

/// Compiles an expression.
///
/// # Errors
/// When it does not parse, with the place, or would need too much memory.
pub(crate) fn compile(kind: FilterKind, text: &str) -> Result<Regex, InvalidFilter> {
    build(&mut RegexBuilder::new(text)).map_err(|error| refused(kind, text, &error))
}

/// Finds a text, whatever the case of its letters.
pub(crate) fn any_case(text: &str) -> Result<Regex, InvalidFilter> {
    let text = regex::escape(text);
    build(RegexBuilder::new(&text).case_insensitive(true))
        .map_err(|error| InvalidFilter::new(FilterKind::Any, one_line(&error)))
}

fn build(builder: &mut RegexBuilder) -> Result<Regex, regex::Error> {
    builder.size_limit(COMPILED_BYTES).dfa_size_limit(CACHE_BYTES).nest_limit(NESTING).build()
}

fn refused(kind: FilterKind, text: &str, error: &regex::Error) -> InvalidFilter {
    let invalid = InvalidFilter::new(kind, one_line(error));
    match error {
        regex::Error::Syntax(drawn) => match marked(drawn) {
            Some(column) => {
                invalid.at(text, text.char_indices().nth(column).map_or(text.len(), |(at, _)| at))
            }
            None => invalid,
        },
        _ => invalid,
    }
}

/// The engine draws the expression with `^` below the fault, indented by four.
fn marked(drawn: &str) -> Option<usize> {
    let line = drawn.lines().find(|line| line.trim_start().starts_with('^') && !line.trim().is_empty())?;
    line.find('^')?.checked_sub(4)
}

fn one_line(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("the regular expression is too large: compiled it needs more than {limit} bytes")
        }
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("no regular expression: {}", last.trim_start_matches("error: "))
        }
    }
}
