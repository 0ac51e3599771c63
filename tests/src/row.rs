//! What a scenario counted: printed, put into the table, and held against zero.

use std::{
    fmt::Write as _,
    io::Write as _,
    time::{Duration, Instant},
};

use crate::{
    checker::{Checker, Counts, Violation},
    effort,
};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reliability.md");
/// The faults of one node (`make crash`).
pub const CRASH: &str = "crash";
/// The faults of a cluster (`make cluster-test`).
pub const CLUSTER: &str = "cluster";

/// Counts of one scenario. What must be zero stands in `wrong`.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Whose table it belongs to.
    pub suite: String,
    /// As in `B12`.
    pub id: String,
    pub fault: String,
    pub cycles: u64,
    /// What a cycle is: kills, pictures, flips.
    pub unit: String,
    pub leader: u64,
    pub all: u64,
    pub read: u64,
    pub wrong: Wrong,
    pub boots: u64,
    pub slowest_start_ms: u64,
    /// Counts that only this scenario has.
    pub notes: Vec<String>,
    /// Why it did not run here.
    pub skipped: Option<String>,
    pub build: String,
    pub seconds: u64,
    pub date: String,
}

/// Every one of these must be zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrong {
    pub lost: u64,
    pub reused: u64,
    pub phantom: u64,
    /// Duplicates, records out of order, holes, stale answers, commits and topics that are not as they were acknowledged.
    pub other: u64,
    /// Bytes served that nobody sent.
    pub bytes: u64,
    pub boots_failed: u64,
}

/// A scenario that runs.
#[derive(Debug)]
pub struct Scenario {
    row: Row,
    began: Instant,
    told: Instant,
}

impl Scenario {
    /// Begins a scenario; `None` when it was left out by name.
    pub fn begin(id: &str, fault: &str, unit: &str) -> Option<Self> {
        Self::begin_in(CRASH, id, fault, unit)
    }

    /// As [`Scenario::begin`], for the table of another suite.
    pub fn begin_in(suite: &str, id: &str, fault: &str, unit: &str) -> Option<Self> {
        if effort::left_out(id) {
            return None;
        }
        let row = Row {
            suite: suite.to_owned(),
            id: id.to_owned(),
            fault: fault.to_owned(),
            unit: unit.to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            date: jiff::Zoned::now().date().to_string(),
            ..Row::default()
        };
        Some(Self { row, began: Instant::now(), told: Instant::now() })
    }

    /// A cycle is over; says now and then how long the rest takes.
    pub fn cycle(&mut self, of: u64) {
        self.row.cycles += 1;
        if self.told.elapsed() > Duration::from_secs(15) {
            self.told = Instant::now();
            let (done, spent) = (self.row.cycles, self.began.elapsed().as_secs());
            let left = spent * of.saturating_sub(done) / done.max(1);
            eprintln!("{}: {done} of {of} {}, {spent} s, about {left} s to go", self.row.id, self.row.unit);
        }
    }

    pub fn started(&mut self, start: Duration) {
        self.row.boots += 1;
        let ms = u64::try_from(start.as_millis()).unwrap_or(u64::MAX);
        self.row.slowest_start_ms = self.row.slowest_start_ms.max(ms);
    }

    pub fn boot_failed(&mut self, why: &str) {
        eprintln!("{}: a start failed: {why}", self.row.id);
        self.row.wrong.boots_failed += 1;
    }

    /// Bytes were served that nobody had sent.
    pub fn wrong_bytes(&mut self, what: &str) {
        eprintln!("{}: wrong bytes: {what}", self.row.id);
        self.row.wrong.bytes += 1;
    }

    /// A record that was promised is gone.
    pub fn lost(&mut self, what: &str) {
        eprintln!("{}: lost: {what}", self.row.id);
        self.row.wrong.lost += 1;
    }

    /// A record that nobody wrote.
    pub fn phantom(&mut self, what: &str) {
        eprintln!("{}: phantom: {what}", self.row.id);
        self.row.wrong.phantom += 1;
    }

    pub fn read(&mut self, records: u64) {
        self.row.read += records;
    }

    /// The scenario is no scenario with fewer cycles.
    pub fn at_least(&self, cycles: u64) {
        assert!(self.row.cycles >= cycles, "{}: {} cycles", self.row.id, self.row.cycles);
    }

    /// Something else that must not be.
    pub fn violated(&mut self, what: &str) {
        eprintln!("{}: {what}", self.row.id);
        self.row.wrong.other += 1;
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.row.notes.push(text.into());
    }

    /// Adds what a checker counted and found.
    pub fn add(&mut self, checker: &Checker) {
        let Counts { leader, all, read, .. } = checker.counts;
        self.row.leader += leader;
        self.row.all += all;
        self.row.read += read;
        for (kind, text) in checker.violations.iter().take(20) {
            eprintln!("{}: {kind:?}: {text}", self.row.id);
        }
        let count = |kind| checker.count(kind) as u64;
        let wrong = &mut self.row.wrong;
        wrong.lost += count(Violation::Lost);
        wrong.reused += count(Violation::Reused);
        wrong.phantom += count(Violation::Phantom);
        wrong.bytes += count(Violation::WrongBytes);
        for kind in [
            Violation::Duplicate,
            Violation::OutOfOrder,
            Violation::Hole,
            Violation::Commit,
            Violation::Topic,
            Violation::Refused,
            Violation::Stale,
            Violation::Overtaken,
        ] {
            wrong.other += count(kind);
        }
    }

    /// Ends a scenario that this machine cannot run, loudly.
    pub fn skip(mut self, why: &str) {
        say(&format!("{} {}: SKIPPED, nothing was tested: {why}", self.row.id, self.row.fault));
        self.row.skipped = Some(why.to_owned());
        self.row.keep();
    }

    /// Prints and keeps the row; panics if anything is wrong.
    pub fn finish(mut self) {
        self.row.seconds = self.began.elapsed().as_secs();
        say(&self.row.to_string());
        self.row.keep();
        assert_eq!(self.row.wrong, Wrong::default(), "{}: see above", self.row.id);
        assert!(self.row.cycles > 0, "{}: nothing was run", self.row.id);
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Wrong { lost, reused, phantom, other, bytes, boots_failed } = &self.wrong;
        write!(
            f,
            "{} {}: {} {} in {} s; acked leader {}, all {}; read {}; lost {lost}, reused {reused}, phantom {phantom}, \
             wrong bytes {bytes}, other {other}; starts {}, failed {boots_failed}, slowest {} ms",
            self.id,
            self.fault,
            self.cycles,
            self.unit,
            self.seconds,
            self.leader,
            self.all,
            self.read,
            self.boots,
            self.slowest_start_ms,
        )?;
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl Row {
    fn keep(&self) {
        if std::env::var_os("FLYMQ_CRASH_DOCS").is_some() {
            let text = std::fs::read_to_string(DOCS).expect("the page is there");
            std::fs::write(DOCS, self.put(&text)).expect("the page can be written");
        }
    }

    /// The page with this row in its suite's table, in place of an earlier one of the fault; all other rows stay.
    fn put(&self, page: &str) -> String {
        let make = if self.suite == CLUSTER { "cluster-test" } else { &self.suite };
        let begin = format!("<!-- {}: begin (written by make {make}) -->\n", self.suite);
        let end = format!("<!-- {}: end -->", self.suite);
        let (before, rest) = page.split_once(&begin).expect("the page has the mark");
        let (table, after) = rest.split_once(&end).expect("the page has the second mark");
        let id = |line: &str| line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
        lines.retain(|line| id(line) != self.id);
        lines.push(self.line());
        // The table's head has no number: it stays first.
        lines.sort_by_key(|line| place(&id(line)));
        format!("{before}{begin}{}\n{end}{after}", lines.join("\n"))
    }

    fn line(&self) -> String {
        if let Some(why) = &self.skipped {
            return format!("| {} | {} | not run: {why} | | | | | | |", self.id, self.fault);
        }
        let Wrong { lost, reused, phantom, other, bytes, boots_failed } = &self.wrong;
        let mut seen = format!("{}, {} build, {} s", self.date, self.build, self.seconds);
        self.notes.iter().for_each(|note| write!(seen, "; {note}").expect("a string takes it"));
        format!(
            "| {} | {} | {} {} | {} / {} | {} | {lost} / {reused} / {phantom} / {other} | {bytes} | \
             {boots_failed} of {}, {} ms | {seen} |",
            self.id,
            self.fault,
            grouped(self.cycles),
            self.unit,
            grouped(self.leader),
            grouped(self.all),
            grouped(self.read),
            self.boots,
            self.slowest_start_ms,
        )
    }
}

/// B28 before B28b before B29.
fn place(id: &str) -> (u32, String) {
    let rest = id.trim_start_matches('B');
    let digits = rest.trim_end_matches(|end: char| end.is_ascii_lowercase());
    (digits.parse().unwrap_or(0), rest[digits.len()..].to_owned())
}

/// To the terminal, also where the test's output is kept back until it fails.
fn say(line: &str) {
    // Nobody reads: nothing to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// 1234567 as 1,234,567.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    Some(head.to_owned())
        .filter(|head| !head.is_empty())
        .into_iter()
        .chain(groups)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "text\n<!-- crash: begin (written by make crash) -->\n| # | Fault |\n|---|---|\n| B1 | one |\n| B12 | old |\n\
        <!-- crash: end -->\nmore\n";

    fn row(id: &str) -> Row {
        Row {
            suite: CRASH.to_owned(),
            id: id.to_owned(),
            skipped: Some("no disk".to_owned()),
            ..Row::default()
        }
    }

    #[test]
    fn a_row_takes_its_place_and_leaves_the_others() {
        let page = row("B12").put(PAGE);
        assert!(
            page.contains("| B1 | one |\n| B12 |  | not run: no disk") && !page.contains("old"),
            "{page}"
        );
        let page = row("B9").put(PAGE);
        assert!(
            page.contains("|---|---|\n| B1 | one |\n| B9 |") && page.contains("|\n| B12 | old |\n<!--"),
            "{page}"
        );
        let page = row("B12").put(&row("B12b").put(&row("B13").put(&page)));
        let at = |id| page.find(&format!("| {id} |")).expect("it is there");
        assert!(at("B9") < at("B12") && at("B12") < at("B12b") && at("B12b") < at("B13"), "{page}");
        assert!(page.contains("| # | Fault |\n|---|---|\n| B1 |"), "{page}");
        assert!(page.starts_with("text\n") && page.ends_with("-->\nmore\n"), "{page}");
    }
}
