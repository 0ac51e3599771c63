//! Reads the descriptor set: what the options of each rpc say.

use std::sync::OnceLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage, Value};

/// The `(flymq.v1.op)` option of an rpc, as written in the proto file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpInfo {
    /// Op code on the native port, 1..=254.
    pub code: u8,
    /// Number of the `Access` enum.
    pub access: i32,
    /// Request field that names the resource; empty: the whole broker.
    pub resource: String,
    /// Number of the `AuditEvent` enum.
    pub audit: i32,
    /// A repeat leaves the same state.
    pub idempotent: bool,
}

/// One rpc of `flymq.v1` with its options.
#[derive(Debug, Clone)]
pub struct RpcInfo {
    /// `Produce`
    pub name: String,
    /// `BrokerService`
    pub service: String,
    /// `/flymq.v1.BrokerService/Produce`
    pub path: String,
    pub op: OpInfo,
    /// (HTTP method, path template, body selector); the first is the main route.
    pub routes: Vec<(String, String, String)>,
    pub server_streaming: bool,
    pub method: MethodDescriptor,
}

/// The pool of all FlyMQ descriptors; decoded once.
pub fn descriptor_pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| {
        DescriptorPool::decode(crate::DESCRIPTOR_SET).expect("the build wrote a valid descriptor set")
    })
}

/// Every rpc of the product in file order. Panics if one lacks an option: the guard test of this crate runs it.
pub fn rpcs() -> &'static [RpcInfo] {
    static RPCS: OnceLock<Vec<RpcInfo>> = OnceLock::new();
    RPCS.get_or_init(|| {
        let services = descriptor_pool().services().filter(|s| s.package_name() == "flymq.v1");
        services.flat_map(|s| s.methods().map(|m| rpc_info(&m)).collect::<Vec<_>>()).collect()
    })
}

fn rpc_info(method: &MethodDescriptor) -> RpcInfo {
    let pool = descriptor_pool();
    let service = method.parent_service().name().to_owned();
    let options = method.options();
    let op_ext = pool.get_extension_by_name("flymq.v1.op").expect("options.proto declares (flymq.v1.op)");
    let http_ext = pool.get_extension_by_name("google.api.http").expect("annotations.proto declares http");
    assert!(options.has_extension(&op_ext), "rpc {} has no (flymq.v1.op) option", method.full_name());
    assert!(options.has_extension(&http_ext), "rpc {} has no (google.api.http) option", method.full_name());
    let op = op_info(message(&options.get_extension(&op_ext)));
    let http = options.get_extension(&http_ext);
    RpcInfo {
        name: method.name().to_owned(),
        path: format!("/flymq.v1.{service}/{}", method.name()),
        service,
        op,
        routes: routes(message(&http)),
        server_streaming: method.is_server_streaming(),
        method: method.clone(),
    }
}

fn op_info(op: &DynamicMessage) -> OpInfo {
    let code = number(op, "code");
    OpInfo {
        code: u8::try_from(code).unwrap_or_else(|_| panic!("op code {code} is no byte")),
        access: number(op, "access") as i32,
        resource: text(op, "resource"),
        audit: number(op, "audit") as i32,
        idempotent: op.get_field_by_name("idempotent").and_then(|v| v.as_bool()).unwrap_or(false),
    }
}

fn routes(rule: &DynamicMessage) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for verb in ["get", "put", "post", "delete", "patch"] {
        let path = text(rule, verb);
        if !path.is_empty() {
            found.push((verb.to_uppercase(), path, text(rule, "body")));
        }
    }
    if let Some(more) = rule.get_field_by_name("additional_bindings") {
        for one in more.as_list().unwrap_or_default() {
            found.extend(routes(message(one)));
        }
    }
    found
}

fn message(value: &Value) -> &DynamicMessage {
    value.as_message().expect("the option is a message")
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn number(message: &DynamicMessage, field: &str) -> i64 {
    let Some(value) = message.get_field_by_name(field) else { return 0 };
    match value.as_ref() {
        Value::U32(n) => i64::from(*n),
        Value::EnumNumber(n) => i64::from(*n),
        _ => panic!("{} of {} is no number", field, message.descriptor().full_name()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_rpc_has_its_options_and_none_are_shared() {
        let mut codes = HashSet::new();
        let mut names = HashSet::new();
        let mut paths = HashSet::new();
        for rpc in rpcs() {
            assert!(rpc.op.code > 0 && rpc.op.code < 0xFF, "{}: op code {}", rpc.name, rpc.op.code);
            assert!(rpc.op.access > 0, "{}: no access", rpc.name);
            assert!(rpc.op.audit > 0, "{}: no audit decision", rpc.name);
            assert!(codes.insert(rpc.op.code), "{}: op code {:#x} is taken", rpc.name, rpc.op.code);
            assert!(names.insert(rpc.name.clone()), "{}: the name is taken", rpc.name);
            assert!(!rpc.routes.is_empty(), "{}: no route", rpc.name);
            for (verb, path, _) in &rpc.routes {
                assert!(
                    paths.insert((verb.clone(), path.clone())),
                    "{}: route {verb} {path} is taken",
                    rpc.name
                );
            }
            let input = rpc.method.input();
            let resource = &rpc.op.resource;
            assert!(
                resource.is_empty() || input.get_field_by_name(resource).is_some(),
                "{}: no field {resource}",
                rpc.name
            );
        }
        assert!(names.len() > 60, "only {} rpcs", names.len());
    }
}
