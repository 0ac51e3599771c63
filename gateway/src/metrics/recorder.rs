//! The process's recorder.

use std::{sync::OnceLock, time::Duration};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of latency buckets, in seconds: from a group commit on a fast disk to a stuck request.
const LATENCY_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Pause between two foldings of the histograms' raw samples.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of this process, once; several brokers in one process share it. Where an application around the
/// broker has installed its own before, that one gets the figures, and the handle shows none.
pub fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)
                .expect("the list of buckets is not empty")
                .build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!(
                    "this process has another metrics recorder; /metrics shows what the broker says only"
                );
            }
            describe();
            keep_up(handle.clone());
            handle
        })
        .clone()
}

/// Folds the raw samples of histograms every few seconds, also when nobody scrapes, so that they do not pile up. A thread of
/// its own: the recorder outlives every broker and its runtime.
fn keep_up(handle: PrometheusHandle) {
    let thread = std::thread::Builder::new().name("metrics-upkeep".to_owned());
    let spawned = thread.spawn(move || {
        loop {
            std::thread::sleep(UPKEEP);
            handle.run_upkeep();
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread for the upkeep of metrics; scrape /metrics regularly instead");
    }
}

/// The documented names are there from the first scrape on.
fn describe() {
    describe_counter!("flymq_messages_produced_total", "Records appended, over all topics.");
    describe_counter!("flymq_messages_consumed_total", "Records sent to readers, over all topics.");
    describe_histogram!("flymq_produce_latency_seconds", "Time from a produce request to its answer.");
    describe_histogram!(
        "flymq_consume_latency_seconds",
        "Time from a consume or fetch request to its answer, less waiting for data to come."
    );
    describe_gauge!("flymq_connections", "Open client connections, by door.");
    describe_gauge!("flymq_encryption_segments", "Segments of an encrypted data directory, by state.");
    describe_gauge!("flymq_requests_in_flight", "Requests being answered, waiting long polls included.");
    describe_counter!(
        "flymq_native_connections_refused_total",
        "Connections refused at the native port's limit."
    );
    describe_counter!("flymq_requests_total", "Requests answered, by rpc, door and error code.");
    describe_gauge!(
        "flymq_transactions_open",
        "Transactions that this node coordinates and that are not over."
    );
    describe_gauge!("flymq_transactions_oldest_open_seconds", "Age of the oldest of them; 0 without any.");
    describe_counter!("flymq_transactions_committed_total", "Transactions committed.");
    describe_counter!("flymq_transactions_aborted_total", "Transactions aborted, by timeout too.");
    describe_counter!(
        "flymq_transactions_timed_out_total",
        "Those that were aborted since they were open for too long."
    );
    describe_counter!(
        "flymq_transactions_fenced_total",
        "Requests of producers that were replaced or too late."
    );
    describe_counter!("flymq_dead_letters_total", "Records moved to the dead letters, by reason.");
    describe_counter!("flymq_dead_letters_replayed_total", "Dead letters put back into their topic.");
    describe_counter!("flymq_dead_letters_purged_total", "Dead letters deleted by a purge.");
    describe_counter!("flymq_record_failures_total", "Failures of single records, by how they came about.");
    describe_counter!("flymq_records_acquired_total", "Records handed to readers one by one.");
    describe_counter!("flymq_records_redelivered_total", "Those of them that had failed before.");
    counter!("flymq_messages_produced_total").increment(0);
    counter!("flymq_messages_consumed_total").increment(0);
    let _ = (histogram!("flymq_produce_latency_seconds"), histogram!("flymq_consume_latency_seconds"));
    gauge!("flymq_connections", "door" => "grpc").increment(0.0);
}
