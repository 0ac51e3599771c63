//! Walks the product's checklist of public symbols, commands, variables and endpoints (`api-checklist.csv`), and tells what is
//! built, what is not yet, and what fails. `status.csv` says which rows are built; a row that is not must answer
//! UNIMPLEMENTED (or be absent), so that no finished row is forgotten there.

mod broker;
mod cli;
mod evidence;
mod server;
mod table;

use std::{collections::BTreeMap, error::Error};

use broker::Broker;
use table::{Row, Status};

/// How a row turned out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Works,
    NotBuilt,
    Broken(String),
}

#[test]
fn every_row_is_what_its_status_says() -> Result<(), Box<dyn Error>> {
    let rows = table::load()?;
    let broker = Broker::start()?;
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut failures = Vec::new();
    for row in &rows {
        let found = check(row, &broker);
        let column = match (&row.status, &found) {
            (Status::Built, Found::Works) => 0,
            (Status::Later, Found::NotBuilt) => 1,
            (Status::Later, Found::Works) => {
                failures.push(format!("{} {}: it works; move it to built in status.csv", row.id, row.symbol));
                2
            }
            (Status::Built, Found::NotBuilt) => {
                failures.push(format!("{} {}: it is marked built, but is not there", row.id, row.symbol));
                2
            }
            (Status::Built | Status::Later, Found::Broken(why)) => {
                failures.push(format!("{} {}: {why}", row.id, row.symbol));
                2
            }
        };
        counts.entry(row.surface.as_str()).or_default()[column] += 1;
    }
    println!("\n{:<8} {:>6} {:>14} {:>8}", "surface", "built", "not yet built", "failing");
    for (surface, [built, later, failing]) in &counts {
        println!("{surface:<8} {built:>6} {later:>14} {failing:>8}");
    }
    let later: Vec<&str> = rows.iter().filter(|r| r.status == Status::Later).map(|r| r.id.as_str()).collect();
    println!("not yet built: {}\n", later.join(" "));
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

fn check(row: &Row, broker: &Broker) -> Found {
    match row.surface.as_str() {
        "cli" => cli::check(row, broker),
        "env" => server::variable(row),
        "http" => server::endpoint(row, broker),
        "metric" => server::metric(row, broker),
        "port" => server::port(row, broker),
        "python" | "java" => evidence::check(row),
        other => Found::Broken(format!("unknown surface {other}")),
    }
}
