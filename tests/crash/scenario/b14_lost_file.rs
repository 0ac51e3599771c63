//! B14: files that are cut, zeroed or gone.

use std::path::Path;

use super::injured::{Ward, vital};
use crate::{effort, injury::Injury, row::Scenario, specimen::Specimen};

#[tokio::test(flavor = "multi_thread")]
async fn b14_a_cut_or_missing_file_is_a_named_gap() {
    let _alone = super::alone().await;
    let fault = "A log, index, checkpoint, epoch or metadata file cut, zeroed or missing";
    let Some(scenario) = Scenario::begin("B14", fault, "injuries") else { return };
    let rng = effort::rng("B14");
    let dir = tempfile::tempdir().expect("a directory");
    let specimen = Specimen::make(dir.path()).await;
    let total = effort::cycles(40, 600);
    let mut ward = Ward { specimen, scenario, rng, injury: &Injury::loss, live: false, total, refused: 0 };
    for file in ["meta.json", "metadata/log"] {
        for _ in 0..total.div_ceil(40) {
            vital(&mut ward, Path::new(file)).await;
        }
    }
    ward.run().await;
    ward.scenario.note(format!("{} offsets refused by name, each of a batch that was hit", ward.refused));
    ward.scenario.finish();
}
