//! The same cases at every door and in every SDK; see README.md beside this file.

mod case;
mod members;
mod report;
mod run;
mod seed;
mod surface;

use std::{error::Error, time::Duration};

use surface::{Addresses, Surface};

/// For one whole surface; a driver that hangs must not hang the suite.
const SURFACE_LIMIT: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_holds_at_every_surface() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let broker = flymq_server::start(flymq_server::Config::embedded(data.path())).await?;
    let addresses = Addresses {
        native: broker.native_addr().to_string(),
        grpc: broker.grpc_addr().to_string(),
        rest: broker.rest_addr().ok_or("an embedded broker serves REST")?.to_string(),
    };
    let cases = case::load()?;
    let mut report = report::Report::new(&cases);
    for open in surface::all() {
        let column = report.column(open.name);
        let mut surface: Box<dyn Surface> = match (open.open)(&addresses).await {
            Ok(surface) => surface,
            Err(surface::Unavailable(why)) if open.optional => {
                report.absent(column, &why);
                continue;
            }
            Err(surface::Unavailable(why)) => return Err(format!("{}: {why}", open.name).into()),
        };
        for (row, case) in cases.iter().enumerate() {
            let running = run::case(case, open.name, &addresses.native, &mut *surface);
            let outcome = tokio::time::timeout(SURFACE_LIMIT, running)
                .await
                .unwrap_or_else(|_| run::Outcome::Failed("no answer in time".to_owned()));
            report.put(row, column, outcome);
        }
    }
    broker.shutdown().await;
    report.write()?;
    report.verdict()
}
