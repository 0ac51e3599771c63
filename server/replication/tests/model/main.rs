//! The rules of ISR and epochs, checked in every order of events within small bounds
//! ([stateright](https://www.stateright.rs)); and that the model notices when a rule is left out.
//!
//! `FLYMQ_MODEL_WIDE=1` takes wider bounds (`make sim`).

mod rules;

use rules::{Cluster, Rules};
use stateright::{Checker, HasDiscoveries, Model};

fn small(rules: Rules) -> Cluster {
    Cluster { rules, isr: 0b111, records: 1, epochs: 2, versions: 2, crashes: 0 }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Some order of events breaks a promise.
fn is_noticed(cluster: Cluster) {
    let checker =
        cluster.checker().threads(threads()).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let broken: Vec<&str> = checker
        .discoveries()
        .into_keys()
        .filter(|name| {
            let promises = ["committed on disk", "change", "one record", "loses nothing"];
            promises.iter().any(|promise| name.contains(promise))
        })
        .collect();
    println!("{broken:?} after {} states", checker.unique_state_count());
    assert!(!broken.is_empty(), "the model does not need this rule");
}

#[test]
fn the_rules_keep_what_is_committed() {
    let wide = std::env::var_os("FLYMQ_MODEL_WIDE").is_some();
    let bounds =
        if wide { Cluster { versions: 3, ..small(Rules::default()) } } else { small(Rules::default()) };
    let checker = bounds.checker().threads(threads()).spawn_bfs().join();
    println!("{} states, depth {}", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

#[test]
fn acknowledging_the_page_cache_is_noticed() {
    let rules = Rules { acks_only_what_is_durable: false, ..Rules::default() };
    is_noticed(Cluster { crashes: 1, ..small(rules) });
}

#[test]
fn not_counting_who_may_have_joined_is_noticed() {
    let rules = Rules { counts_who_may_have_joined: false, ..Rules::default() };
    is_noticed(Cluster { isr: 0b011, ..small(rules) });
}

#[test]
fn forgetting_a_refused_wish_is_noticed() {
    let rules = Rules { remembers_refused_wishes: false, ..Rules::default() };
    is_noticed(Cluster { isr: 0b011, ..small(rules) });
}

#[test]
fn joining_before_the_start_of_the_epoch_is_noticed() {
    let rules = Rules { joins_at_the_start_of_the_epoch: false, ..Rules::default() };
    is_noticed(Cluster { isr: 0b011, versions: 3, ..small(rules) });
}

#[test]
fn truncating_to_the_high_watermark_is_noticed() {
    let rules = Rules { truncates_by_epoch: false, ..Rules::default() };
    is_noticed(small(rules));
}

#[test]
fn handing_over_before_the_next_leader_has_everything_is_noticed() {
    let rules = Rules { hands_over_what_it_has: false, ..Rules::default() };
    is_noticed(small(rules));
}

#[test]
fn taking_records_while_handing_over_is_noticed() {
    let rules = Rules { takes_nothing_while_it_hands_over: false, ..Rules::default() };
    is_noticed(small(rules));
}

#[test]
fn counting_the_shrunk_set_before_it_is_committed_is_noticed() {
    let rules = Rules { counts_the_committed_set: false, ..Rules::default() };
    is_noticed(small(rules));
}
