//! Injured files: the broker starts, refuses exactly what is damaged, by name, and serves everything else as it was sent.

use std::path::Path;

use flymq_client::{Acks, Client, NewMessage};
use rand::rngs::StdRng;

use crate::{
    injury::{Injured, Injury},
    load,
    row::Scenario,
    specimen::{self, RECORDS, Seen, Specimen, TOPICS},
};

/// Injured before the start.
const AT_REST: usize = 20;
/// Every so many starts the broker is killed and looked at again.
const AGAIN: u64 = 4;

pub struct Ward<'a> {
    pub specimen: Specimen,
    pub scenario: Scenario,
    pub rng: StdRng,
    /// How a file of so many bytes is injured.
    pub injury: &'a dyn Fn(usize, &mut StdRng) -> Injury,
    /// Injuries to a running broker's files, too.
    pub live: bool,
    pub total: u64,
    pub refused: u64,
}

impl Ward<'_> {
    /// One start over injured topics, until enough was done.
    pub async fn run(&mut self) {
        let mut done = 0;
        for round in 0_u64.. {
            done += self.round(round).await;
            if done >= self.total {
                return;
            }
        }
    }

    async fn round(&mut self, round: u64) -> u64 {
        self.specimen.restore();
        let mut injured: Vec<_> = (0..AT_REST).map(|topic| self.choose(topic)).collect();
        injured.iter().for_each(|one| one.injury.inflict(&self.specimen.path(&one.file)));
        let broker = match specimen::boot(&self.specimen) {
            Ok(broker) => broker,
            Err(refusal) => {
                let log = refusal.log.join("\n");
                self.scenario.boot_failed(&format!("{injured:?}\n{log}"));
                return AT_REST as u64;
            }
        };
        self.scenario.started(broker.start);
        let client = load::connect(&broker.native).await;
        for i in 0..TOPICS {
            self.look(&client, i, injured.get(i)).await;
        }
        if self.live {
            for topic in AT_REST..TOPICS {
                let one = self.choose(topic);
                one.injury.inflict(&self.specimen.path(&one.file));
                self.look(&client, topic, Some(&one)).await;
                injured.push(one);
            }
        }
        if round.is_multiple_of(AGAIN) {
            for one in &injured {
                self.goes_on(&client, one).await;
            }
            drop(client);
            broker.kill();
            self.again(&injured).await;
        } else {
            broker.kill();
        }
        injured.iter().for_each(|_| self.scenario.cycle(self.total));
        injured.len() as u64
    }

    fn choose(&mut self, topic: usize) -> Injured {
        Injured::choose(&self.specimen, topic, &mut self.rng, self.injury)
    }

    /// What was damaged is so after the next start, and no more than that.
    async fn again(&mut self, injured: &[Injured]) {
        match specimen::boot(&self.specimen) {
            Ok(broker) => {
                self.scenario.started(broker.start);
                let client = load::connect(&broker.native).await;
                for i in 0..injured.len() {
                    self.look(&client, i, injured.get(i)).await;
                }
                broker.kill();
            }
            Err(refusal) => {
                self.scenario.boot_failed(&format!("again, {injured:?}\n{}", refusal.log.join("\n")));
            }
        }
    }

    async fn look(&mut self, client: &Client, i: usize, injured: Option<&Injured>) {
        let seen = Seen::read(client, i).await;
        self.scenario.read(seen.served.len() as u64);
        let what = || injured.map_or("nothing".to_owned(), |one| format!("{:?} {:?}", one.injury, one.file));
        for offset in seen.wrong(i) {
            self.scenario.wrong_bytes(&format!("topic {i} offset {offset} after {}", what()));
        }
        if seen.end < RECORDS {
            self.scenario.violated(&format!("topic {i} ends at {} after {}", seen.end, what()));
        }
        let expected: &[u64] = injured.map_or(&[], |one| &one.costs);
        let refused = seen.refused_offsets();
        self.refused += refused.len() as u64;
        if refused != expected {
            let text = format!("topic {i}: {:?} refused, {expected:?} damaged by {}", seen.refused, what());
            self.scenario.violated(&text);
        }
    }

    /// The log takes records behind the damage, at an offset that was never used.
    async fn goes_on(&mut self, client: &Client, one: &Injured) {
        let message = NewMessage::value("goes on").to_partition(0);
        match client.produce_one(&specimen::topic(one.topic), message, Acks::All).await {
            Ok(stored) if stored.offset == RECORDS => {}
            other => self.scenario.violated(&format!("{one:?}: the next record: {other:?}")),
        }
    }
}

/// An injury to a file that the whole node depends on: the broker starts as if nothing were, or refuses and names the
/// file, and changes nothing.
pub async fn vital(ward: &mut Ward<'_>, file: &Path) {
    ward.specimen.restore();
    let contents = ward.specimen.bytes(file);
    // What is allocated ahead is all zeros: little of it is worth hitting.
    let used = contents.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let injury = (ward.injury)(contents.len().min(used + used / 20 + 1), &mut ward.rng);
    let path = ward.specimen.path(file);
    injury.inflict(&path);
    let left = std::fs::read(&path).ok();
    match specimen::boot(&ward.specimen) {
        Ok(broker) => {
            ward.scenario.started(broker.start);
            if identity(&left.unwrap_or_default()) != identity(&contents) {
                let text = format!("started as another directory after {injury:?} of {}", file.display());
                ward.scenario.violated(&text);
            }
            let client = load::connect(&broker.native).await;
            let topics = client.list_topics().await.expect("topics can be listed").len();
            if topics < TOPICS {
                let text = format!("{topics} of {TOPICS} topics after {injury:?} of {}", file.display());
                ward.scenario.violated(&text);
            } else {
                for i in [0, TOPICS - 1] {
                    ward.look(&client, i, None).await;
                }
            }
            broker.kill();
        }
        Err(refusal) => {
            let log = refusal.log.join("\n");
            let name = file.to_string_lossy();
            if !log.contains(&*name) || log.contains("panicked") {
                ward.scenario.boot_failed(&format!("{injury:?} of {name}:\n{log}"));
            } else if std::fs::read(&path).ok() != left && log.contains("nothing was changed") {
                ward.scenario.violated(&format!("{name} was changed although it was refused"));
            }
        }
    }
    ward.scenario.cycle(ward.total);
}

/// Who a directory is, where the file says so.
fn identity(contents: &[u8]) -> Option<String> {
    let meta: serde_json::Value = serde_json::from_slice(contents).ok()?;
    Some(meta["directory_id"].to_string())
}
