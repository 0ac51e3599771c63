//! Derives the request and response unions and the op table from the proto descriptors, so that no door lists rpcs by hand.

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

use flymq_proto::{RpcInfo, rpcs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let unary: Vec<&RpcInfo> = rpcs().iter().filter(|r| !r.server_streaming).collect();
    let mut out = String::new();
    union(&mut out, "Request", "Request", &unary)?;
    union(&mut out, "Response", "Response", &unary)?;
    ids(&mut out, rpcs())?;
    codec(&mut out, &unary)?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("ops.rs"), out)?;
    Ok(())
}

fn union(out: &mut String, name: &str, suffix: &str, unary: &[&RpcInfo]) -> std::fmt::Result {
    writeln!(
        out,
        "/// One variant for each unary rpc of `flymq.v1`.\n#[derive(Debug, Clone)]\npub enum {name} {{"
    )?;
    for rpc in unary {
        writeln!(out, "    {0}(pb::{0}{suffix}),", rpc.name)?;
    }
    writeln!(
        out,
        "}}\n\nimpl {name} {{\n    /// Which rpc this belongs to.\n    pub fn rpc(&self) -> Rpc {{\n        match self {{"
    )?;
    for rpc in unary {
        writeln!(out, "            Self::{0}(_) => Rpc::{0},", rpc.name)?;
    }
    writeln!(out, "        }}\n    }}\n}}\n")?;
    for rpc in unary {
        writeln!(
            out,
            "impl From<pb::{0}{suffix}> for {name} {{ fn from(m: pb::{0}{suffix}) -> Self {{ Self::{0}(m) }} }}",
            rpc.name
        )?;
        writeln!(
            out,
            "impl TryFrom<{name}> for pb::{0}{suffix} {{ type Error = {name}; fn try_from(m: {name}) -> Result<Self, {name}> {{ if let {name}::{0}(m) = m {{ Ok(m) }} else {{ Err(m) }} }} }}",
            rpc.name
        )?;
    }
    Ok(())
}

fn ids(out: &mut String, all: &[RpcInfo]) -> std::fmt::Result {
    writeln!(
        out,
        "/// Every rpc of `flymq.v1`, streams included.\n#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]\npub enum Rpc {{"
    )?;
    for rpc in all {
        writeln!(out, "    {},", rpc.name)?;
    }
    writeln!(
        out,
        "}}\n\n/// The op table, in the order of [`Rpc`].\npub static OPS: [OpMeta; {}] = [",
        all.len()
    )?;
    for r in all {
        let audit = if r.op.audit == 1 { "None".to_owned() } else { format!("Some({})", r.op.audit) };
        writeln!(
            out,
            "    OpMeta {{ id: Rpc::{0}, rpc: {0:?}, service: {1:?}, path: {2:?}, opcode: {3}, access_number: {4}, resource: {5:?}, audit_number: {6}, idempotent: {7}, server_streaming: {8} }},",
            r.name,
            r.service,
            r.path,
            r.op.code,
            r.op.access,
            r.op.resource,
            audit,
            r.op.idempotent,
            r.server_streaming
        )?;
    }
    writeln!(out, "];\n")
}

fn codec(out: &mut String, unary: &[&RpcInfo]) -> std::fmt::Result {
    writeln!(
        out,
        "impl Request {{\n    /// Decodes the protobuf body of `rpc`; `None` when the rpc is a stream."
    )?;
    writeln!(
        out,
        "    pub fn decode(rpc: Rpc, body: Bytes) -> Option<Result<Self, prost::DecodeError>> {{\n        match rpc {{"
    )?;
    for rpc in unary {
        writeln!(
            out,
            "            Rpc::{0} => Some(pb::{0}Request::decode(body).map(Self::{0})),",
            rpc.name
        )?;
    }
    streams(out)?;
    writeln!(out, "        }}\n    }}\n")?;
    resource(out, unary)?;
    encode(out, unary)?;
    decode_response(out, unary)?;
    writeln!(
        out,
        "    /// Encodes the protobuf body.\n    pub fn encode(&self) -> Bytes {{\n        match self {{"
    )?;
    for rpc in unary {
        writeln!(out, "            Self::{0}(m) => m.encode_to_vec().into(),", rpc.name)?;
    }
    writeln!(
        out,
        "        }}\n    }}\n\n    /// Writes the protobuf body into a buffer that grows.\n    pub fn encode_into(&self, out: &mut impl BufMut) {{\n        match self {{"
    )?;
    for rpc in unary {
        writeln!(out, "            Self::{0}(m) => m.encode_raw(out),", rpc.name)?;
    }
    writeln!(
        out,
        "        }}\n    }}\n\n    /// Bytes of the protobuf body.\n    pub fn encoded_len(&self) -> usize {{\n        match self {{"
    )?;
    for rpc in unary {
        writeln!(out, "            Self::{0}(m) => m.encoded_len(),", rpc.name)?;
    }
    writeln!(out, "        }}\n    }}\n}}")
}

/// The request's own encoder, and the end of its block.
fn encode(out: &mut String, unary: &[&RpcInfo]) -> std::fmt::Result {
    writeln!(
        out,
        "\n    /// Encodes the protobuf body.\n    pub fn encode(&self) -> Bytes {{\n        match self {{"
    )?;
    for rpc in unary {
        writeln!(out, "            Self::{0}(m) => m.encode_to_vec().into(),", rpc.name)?;
    }
    writeln!(out, "        }}\n    }}\n}}\n")
}

/// The beginning of the response's block, and its decoder.
fn decode_response(out: &mut String, unary: &[&RpcInfo]) -> std::fmt::Result {
    writeln!(
        out,
        "impl Response {{\n    /// Decodes the protobuf body of `rpc`'s answer; `None` when the rpc is a stream."
    )?;
    writeln!(
        out,
        "    pub fn decode(rpc: Rpc, body: Bytes) -> Option<Result<Self, prost::DecodeError>> {{\n        match rpc {{"
    )?;
    for rpc in unary {
        writeln!(
            out,
            "            Rpc::{0} => Some(pb::{0}Response::decode(body).map(Self::{0})),",
            rpc.name
        )?;
    }
    streams(out)?;
    writeln!(out, "        }}\n    }}\n")
}

/// The arm of the rpcs that are streams.
fn streams(out: &mut String) -> std::fmt::Result {
    let names: Vec<String> =
        rpcs().iter().filter(|r| r.server_streaming).map(|r| format!("Rpc::{}", r.name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    writeln!(out, "            {} => None,", names.join(" | "))
}

fn resource(out: &mut String, unary: &[&RpcInfo]) -> std::fmt::Result {
    writeln!(
        out,
        "    /// The resource the right is checked on; `None`: the whole broker.\n    pub fn resource(&self) -> Option<&str> {{\n        match self {{"
    )?;
    for rpc in unary {
        if rpc.op.resource.is_empty() {
            writeln!(out, "            Self::{0}(_) => None,", rpc.name)?;
        } else {
            writeln!(out, "            Self::{0}(m) => Some(&m.{1}),", rpc.name, rpc.op.resource)?;
        }
    }
    writeln!(out, "        }}\n    }}")
}
