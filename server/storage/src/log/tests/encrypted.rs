//! The tests of crash and damage once more, with every directory encrypted; `chaos` and `model` choose
//! for themselves.

use super::support::encrypted;
use super::{crash, damage, recycling, repair, transfer, truncate};

#[test]
fn a_crash_between_any_two_steps_leaves_a_whole_log() {
    encrypted(crash::a_crash_between_any_two_steps_leaves_a_whole_log);
}

#[test]
fn durable_records_survive_a_crash_at_any_later_step() {
    encrypted(crash::durable_records_survive_a_crash_at_any_later_step);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    encrypted(crash::a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on);
}

#[test]
fn a_flipped_bit_anywhere_costs_at_most_its_batch() {
    encrypted(damage::a_flipped_bit_anywhere_costs_at_most_its_batch);
}

#[test]
fn a_segment_cut_in_the_middle_loses_only_what_is_gone() {
    encrypted(damage::a_segment_cut_in_the_middle_loses_only_what_is_gone);
}

#[test]
fn a_missing_segment_is_a_named_gap() {
    encrypted(damage::a_missing_segment_is_a_named_gap);
}

#[test]
fn a_crash_at_any_step_shows_no_byte_of_an_earlier_life() {
    encrypted(recycling::a_crash_at_any_step_shows_no_byte_of_an_earlier_life);
}

#[test]
fn a_crash_at_any_step_of_a_cut_leaves_the_log_whole_or_cut() {
    encrypted(truncate::a_crash_at_any_step_leaves_the_log_whole_or_cut);
}

#[test]
fn a_crash_at_any_step_of_a_transfer_leaves_the_old_log_or_the_new_one() {
    encrypted(transfer::a_crash_at_any_step_leaves_the_old_log_or_the_new_one);
}

#[test]
fn a_crash_at_any_step_of_a_repair_costs_no_good_batch() {
    encrypted(repair::a_crash_at_any_step_costs_no_good_batch);
}
