//! The matrix of cases by surfaces.

use std::{error::Error, fmt::Write as _, fs, path::Path};

use crate::{case::Case, run::Outcome};

/// Outcomes as they come in.
#[derive(Debug)]
pub struct Report {
    cases: Vec<String>,
    columns: Vec<String>,
    absent: Vec<Option<String>>,
    cells: Vec<Vec<Option<Outcome>>>,
}

impl Report {
    pub fn new(cases: &[Case]) -> Self {
        let names = cases.iter().map(|c| c.name.clone()).collect();
        Self { cases: names, columns: Vec::new(), absent: Vec::new(), cells: vec![Vec::new(); cases.len()] }
    }

    /// Begins the column of a surface.
    pub fn column(&mut self, name: &str) -> usize {
        self.columns.push(name.to_owned());
        self.absent.push(None);
        for row in &mut self.cells {
            row.push(None);
        }
        self.columns.len() - 1
    }

    /// The surface could not be opened here.
    pub fn absent(&mut self, column: usize, why: &str) {
        self.absent[column] = Some(why.to_owned());
    }

    pub fn put(&mut self, row: usize, column: usize, outcome: Outcome) {
        self.cells[row][column] = Some(outcome);
    }

    /// Prints the matrix and leaves it beside the build.
    pub fn write(&self) -> Result<(), Box<dyn Error>> {
        let text = self.markdown()?;
        println!("\n{text}");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance.md");
        fs::write(target, text)?;
        Ok(())
    }

    fn markdown(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        writeln!(text, "| case | {} |", self.columns.join(" | "))?;
        writeln!(text, "|---|{}", "---|".repeat(self.columns.len()))?;
        let mut notes = Vec::new();
        for (case, row) in self.cases.iter().zip(&self.cells) {
            let cells: Vec<&str> = row.iter().map(sign).collect();
            writeln!(text, "| {case} | {} |", cells.join(" | "))?;
            for (column, cell) in self.columns.iter().zip(row) {
                if let Some(Outcome::Failed(why) | Outcome::Skipped(why)) = cell {
                    notes.push(format!("- {} {case}, {column}: {why}", sign(cell)));
                }
            }
        }
        for (column, why) in self.columns.iter().zip(&self.absent) {
            if let Some(why) = why {
                notes.push(format!("- {column} was not run: {why}"));
            }
        }
        writeln!(text, "\n{}", notes.join("\n"))?;
        Ok(text)
    }

    /// Fails when a case failed.
    pub fn verdict(&self) -> Result<(), Box<dyn Error>> {
        let failed = self.cells.iter().flatten().filter(|c| matches!(c, Some(Outcome::Failed(_)))).count();
        let passed = self.cells.iter().flatten().filter(|c| matches!(c, Some(Outcome::Passed))).count();
        println!("conformance: {passed} passed, {failed} failed");
        if failed > 0 {
            Err(format!("{failed} cells of the conformance matrix failed (see above)").into())
        } else {
            Ok(())
        }
    }
}

fn sign(cell: &Option<Outcome>) -> &'static str {
    match cell {
        Some(Outcome::Passed) => "✓",
        Some(Outcome::Skipped(_)) => "–",
        Some(Outcome::Failed(_)) => "✗",
        None => " ",
    }
}
