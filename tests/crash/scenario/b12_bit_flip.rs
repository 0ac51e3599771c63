//! B12: one bit of one file, at rest and under a running broker.

use std::path::Path;

use super::injured::{Ward, vital};
use crate::{effort, injury::Injury, row::Scenario, specimen::Specimen};

#[tokio::test(flavor = "multi_thread")]
async fn b12_a_flipped_bit_is_refused_by_name_and_costs_nothing_else() {
    let _alone = super::alone().await;
    let fault = "One bit flipped in a log, index, checkpoint, epoch or metadata file, at rest and live";
    let Some(scenario) = Scenario::begin("B12", fault, "flips") else { return };
    let rng = effort::rng("B12");
    let dir = tempfile::tempdir().expect("a directory");
    let specimen = Specimen::make(dir.path()).await;
    let total = effort::cycles(96, 2_000);
    let mut ward = Ward { specimen, scenario, rng, injury: &Injury::flip, live: true, total, refused: 0 };
    for file in ["meta.json", "metadata/log"] {
        for _ in 0..total.div_ceil(50) {
            vital(&mut ward, Path::new(file)).await;
        }
    }
    ward.run().await;
    ward.scenario.note(format!("{} offsets refused by name, each in a damaged batch", ward.refused));
    ward.scenario.finish();
}
