//! Rows of the server: variables, endpoints, metrics, ports.

use std::{net::SocketAddr, net::TcpStream, process::Command, time::Duration};

use crate::{
    Found,
    broker::{Broker, http},
    cli::binary,
    table::Row,
};

/// `flymq config show` names the variable as the source of a value.
pub fn variable(row: &Row) -> Found {
    if matches!(row.symbol.as_str(), "FLYMQ_USERNAME" | "FLYMQ_PASSWORD") {
        return cli_variable(&row.symbol);
    }
    let value = match row.symbol.as_str() {
        "FLYMQ_LOG_LEVEL" => "debug",
        "FLYMQ_LOG_JSON" | "FLYMQ_TLS_ENABLED" | "FLYMQ_ENCRYPTION_ENABLED" | "FLYMQ_AUTH_ENABLED" => "false",
        "FLYMQ_ENCRYPTION_KEY" => "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "FLYMQ_ROLE" => "standalone",
        name if name.contains("ADDR") || name == "FLYMQ_SERVER" || name == "FLYMQ_ADVERTISE_CLUSTER" => {
            "127.0.0.1:19999"
        }
        _ => "something",
    };
    let shown = Command::new(binary("flymq")).args(["config", "show"]).env(&row.symbol, value).output();
    match shown {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let named = text.lines().any(|line| line.contains(&row.symbol));
            let errors = String::from_utf8_lossy(&output.stderr);
            if named {
                Found::Works
            } else {
                Found::Broken(format!("config show does not name it: {text}{errors}"))
            }
        }
        Err(e) => Found::Broken(format!("flymq does not start: {e} (build the workspace first)")),
    }
}

fn cli_variable(name: &str) -> Found {
    match Command::new(binary("flymq-cli")).arg("--help").output() {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains(name) => Found::Works,
        Ok(_) => Found::Broken("flymq-cli --help does not name it".to_owned()),
        Err(e) => Found::Broken(e.to_string()),
    }
}

/// `GET http://localhost:9096/api/v1/…`, asked of the port that stands for 9096 here.
pub fn endpoint(row: &Row, broker: &Broker) -> Found {
    let parts: Option<(&str, &str)> = row.symbol.split_once(" http://localhost:");
    let Some((method, (port, path))) = parts.and_then(|(m, rest)| rest.split_once('/').map(|r| (m, r)))
    else {
        return Found::Broken("not METHOD http://localhost:PORT/PATH".to_owned());
    };
    let Some(addr) = address(port, broker) else { return Found::NotBuilt };
    let body = match method {
        "POST" => r#"{"name":"checklist","options":{"partitions":3}}"#,
        _ => "",
    };
    if method == "DELETE" {
        // Something to delete; a repeat of the run finds it there, which is as good.
        let _ = http(addr, "POST", "/api/v1/topics", r#"{"name":"my-topic"}"#);
    }
    match http(addr, method, &format!("/{path}"), body) {
        Ok((200..=299, _)) => Found::Works,
        Ok((501, _)) => Found::NotBuilt,
        Ok((status, reply)) => Found::Broken(format!("{status}: {reply}")),
        Err(e) => Found::Broken(e.to_string()),
    }
}

pub fn metric(row: &Row, broker: &Broker) -> Found {
    let Some(addr) = broker.metrics() else { return Found::Broken("metrics are off".to_owned()) };
    match http(addr, "GET", "/metrics", "") {
        Ok((200, text)) if text.contains(&format!("# TYPE {}", row.symbol)) => Found::Works,
        Ok((status, _)) => Found::Broken(format!("{status}, and no TYPE line of it")),
        Err(e) => Found::Broken(e.to_string()),
    }
}

/// The default configuration names the port, and what stands for it here accepts.
pub fn port(row: &Row, broker: &Broker) -> Found {
    let shown = Command::new(binary("flymq")).args(["config", "show"]).output();
    let named = shown.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(&format!(":{}", row.symbol)));
    if !named {
        return Found::Broken("the default configuration does not name it".to_owned());
    }
    let Some(addr) = address(&row.symbol, broker) else { return Found::NotBuilt };
    match TcpStream::connect_timeout(&addr, Duration::from_secs(5)) {
        Ok(_) => Found::Works,
        Err(e) => Found::Broken(e.to_string()),
    }
}

fn address(port: &str, broker: &Broker) -> Option<SocketAddr> {
    match port {
        "9092" => Some(broker.native()),
        "9093" => broker.cluster(),
        "9094" => broker.metrics(),
        "9095" => broker.health(),
        "9096" => broker.rest(),
        "9097" => Some(broker.grpc()),
        _ => None,
    }
}
