//! A surface: one door spoken raw, or one SDK.

mod documents;
mod features;
mod grpc;
mod native_v1;
mod native_v2;
mod ops;
mod process;
mod rest;
mod rust_sdk;

use futures::future::BoxFuture;
use serde_json::Value;

/// Where the broker listens.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub native: String,
    pub grpc: String,
    pub rest: String,
}

/// Why an operation gave no reply.
#[derive(Debug, Clone)]
pub enum Failure {
    /// What every client would see; version 1 has no codes.
    Error { code: Option<String>, message: String },
    /// The surface has no such operation.
    Unsupported(String),
}

impl Failure {
    pub fn coded(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Error { code: Some(code.into()), message: message.into() }
    }

    /// A fault of the surface itself: no case expects it.
    pub fn broken(what: impl std::fmt::Display) -> Self {
        Self::Error { code: Some("BROKEN_SURFACE".to_owned()), message: what.to_string() }
    }
}

pub type Reply = Result<Value, Failure>;

/// Runs operations one after another.
pub trait Surface: Send {
    fn run<'a>(&'a mut self, op: &'a str, args: &'a Value) -> BoxFuture<'a, Reply>;
}

/// The surface cannot be opened here, and why.
#[derive(Debug)]
pub struct Unavailable(pub String);

type Opening = BoxFuture<'static, Result<Box<dyn Surface>, Unavailable>>;

/// How to open a surface.
pub struct Open {
    pub name: &'static str,
    /// The suites of that language run it where it is missing here.
    pub optional: bool,
    pub open: fn(&Addresses) -> Opening,
}

/// All surfaces, in the order of the matrix.
pub fn all() -> Vec<Open> {
    vec![
        Open { name: "grpc", optional: false, open: grpc::open },
        Open { name: "native-v1", optional: false, open: native_v1::open },
        Open { name: "native-v2", optional: false, open: native_v2::open },
        Open { name: "rest", optional: false, open: rest::open },
        Open { name: "rust", optional: false, open: rust_sdk::open },
        Open { name: "python", optional: !required("python"), open: process::python },
        Open { name: "java", optional: !required("java"), open: process::java },
    ]
}

/// `FLYMQ_CONFORMANCE=python,java` makes these surfaces a must: `make test` sets it.
fn required(name: &str) -> bool {
    std::env::var("FLYMQ_CONFORMANCE").is_ok_and(|list| list.split(',').any(|one| one.trim() == name))
}
