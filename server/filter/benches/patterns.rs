//! How long it takes to find the patterns that match a topic among a million: `cargo bench -p flymq-filter --bench patterns`.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{hint::black_box, time::Instant};

use flymq_types::Patterns;

const SUBSCRIPTIONS: usize = 1_000_000;
const LOOK_UPS: usize = 200_000;

/// Sites with sensors: names, one level open, the rest open.
fn pattern(n: usize) -> String {
    let (site, sensor) = (n % 5_000, n / 5_000);
    match n % 10 {
        0..6 => format!("site-{site}/sensor-{sensor}/temp"),
        6 | 7 => format!("site-{site}/+/kind-{sensor}"),
        8 => format!("site-{site}/sensor-{sensor}/#"),
        _ => format!("+/sensor-{sensor}/kind-{site}"),
    }
}

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let begun = Instant::now();
    let mut patterns = Patterns::default();
    for n in 0..SUBSCRIPTIONS {
        patterns.insert(&pattern(n), n as u32).expect("a pattern");
    }
    println!("{SUBSCRIPTIONS} patterns added in {:.2} s", begun.elapsed().as_secs_f64());
    let topics: Vec<String> =
        (0..LOOK_UPS).map(|n| format!("site-{}/sensor-{}/temp", n * 7 % 5_000, n * 13 % 200)).collect();
    let (mut times, mut found) = (Vec::with_capacity(LOOK_UPS), 0_u64);
    for topic in &topics {
        let begun = Instant::now();
        patterns.matching(black_box(topic), |owner| found += u64::from(black_box(*owner) < u32::MAX));
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_nanos() as f64 / 1_000.0;
    println!(
        "match of a topic among {SUBSCRIPTIONS}: p50 {:.2} us, p99 {:.2} us, p99.9 {:.2} us; {found} matches in {LOOK_UPS}",
        at(0.5),
        at(0.99),
        at(0.999)
    );
}
