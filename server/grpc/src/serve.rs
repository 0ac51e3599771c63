//! Runs the door on a listener.

use std::{io, sync::Arc, time::Duration};

use flymq_api::{Broker, CallContext, Door, OPS, ReadBudget, Request, Response};
use flymq_proto::pb;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, health_reporter},
};

use crate::{GrpcOptions, call::Calls, connection::incoming, reflection, service::GrpcService};

/// Between two looks at the broker's health, in a cluster.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// Serves gRPC on `listener` until `shutdown` is cancelled and running calls have ended, or
/// [`GrpcOptions::drain_timeout`] is over.
///
/// # Errors
/// When the descriptors cannot be served (a fault of the build), or the transport fails as a whole; what goes wrong on one
/// connection ends that connection.
pub async fn serve(
    listener: TcpListener,
    broker: Arc<dyn Broker>,
    options: GrpcOptions,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let (reporter, health) = health_reporter();
    set_health(&reporter, ServingStatus::Serving).await;
    let asked = broker.clone();
    let calls = Calls {
        broker,
        max_message_bytes: options.max_message_bytes,
        max_inflated_bytes: options.max_inflated_bytes,
        budget: ReadBudget::new(options.max_requests_bytes),
        answers: ReadBudget::of_answers(options.max_answers_bytes),
        shutdown: shutdown.clone(),
    };
    let service = GrpcService::new(calls)
        .with(health)
        .with(reflection::v1().map_err(io::Error::other)?)
        .with(reflection::v1alpha().map_err(io::Error::other)?);

    let close = CancellationToken::new();
    let _close_at_end = close.clone().drop_guard();
    let connections = incoming(listener, &options, close);
    let is_member = options.node.as_ref().is_some_and(|node| !node.cluster_addr.is_empty());
    let following = {
        let (reporter, shutdown) = (reporter.clone(), shutdown.clone());
        async move {
            if is_member {
                shutdown.run_until_cancelled(follow(&reporter, &*asked)).await;
            }
            std::future::pending::<()>().await;
        }
    };
    let stop = {
        let shutdown = shutdown.clone();
        async move {
            shutdown.cancelled().await;
            set_health(&reporter, ServingStatus::NotServing).await;
        }
    };
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(options.drain_timeout).await;
    };
    tokio::select! {
        ended = transport(&options).serve_with_incoming_shutdown(service, connections, stop) => ended.map_err(io::Error::other),
        () = drained => Ok(()),
        () = following => Ok(()),
    }
}

/// A member of a cluster may live and be cut off from it: the service of health says what the health port does.
async fn follow(reporter: &HealthReporter, broker: &dyn Broker) {
    let mut told = ServingStatus::Serving;
    loop {
        tokio::time::sleep(HEALTH_EVERY).await;
        let asked = broker
            .call(CallContext::new(Door::InProcess, "health"), Request::GetHealth(pb::GetHealthRequest {}));
        let ready = matches!(asked.await, Ok(Response::GetHealth(health)) if health.ready);
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        if status != told {
            set_health(reporter, status).await;
            told = status;
        }
    }
}

fn transport(options: &GrpcOptions) -> Server {
    Server::builder()
        .max_concurrent_streams(options.max_concurrent_streams)
        .http2_max_header_list_size(options.max_header_list_bytes)
        .http2_keepalive_interval(Some(options.keepalive_interval))
        .http2_keepalive_timeout(Some(options.keepalive_timeout))
        .initial_stream_window_size(options.stream_window_bytes)
        .initial_connection_window_size(options.connection_window_bytes)
}

/// The broker as a whole (the empty name) and each of its services.
async fn set_health(reporter: &HealthReporter, status: ServingStatus) {
    reporter.set_service_status("", status).await;
    let mut services: Vec<&str> = OPS.iter().map(|op| op.service).collect();
    services.dedup();
    for service in services {
        reporter.set_service_status(format!("flymq.v1.{service}"), status).await;
    }
}
