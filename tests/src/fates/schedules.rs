//! Messages that are due later, some of them cancelled or demanded before.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use flymq_client::{Client, pb};
use rand::Rng as _;
use tokio::time::{Instant, sleep};

use super::{DEADLINE, Hand, PAUSE, all, ask, now_ms, text};
use crate::row::Scenario;

pub const TOPIC: &str = "fate-due";
/// Milliseconds that a message waits at most.
const LONGEST: i64 = 3_000;

/// What is known of each message, by its value.
#[derive(Debug, Default)]
pub struct Schedules(Mutex<BTreeMap<String, Fate>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was not heard whether it is kept.
    Perhaps(i64),
    Due(i64),
    /// At once or in its time, once in any case.
    Demanded,
    Cancelled,
    /// It was not heard whether it was cancelled.
    PerhapsCancelled(i64),
}

impl Schedules {
    pub(super) async fn run(self: Arc<Self>, mut hand: Hand) {
        let mut number = 0_u64;
        while !hand.over() {
            let value = format!("s{number}");
            number += 1;
            let due = now_ms() + hand.rng.random_range(0..LONGEST);
            let request = pb::ScheduleMessageRequest {
                topic: TOPIC.to_owned(),
                record: Some(pb::Record { value: value.clone().into(), ..Default::default() }),
                at_ms: due,
                ..Default::default()
            };
            let answer =
                hand.client.call::<_, pb::ScheduleMessageResponse>("ScheduleMessage", &request).await;
            let fate = match answer {
                Ok(kept) => {
                    let id = kept.schedule.unwrap_or_default().id;
                    self.second_thought(id, due, &mut hand).await
                }
                Err(error) if error.side_effects => Fate::Perhaps(due),
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            };
            self.0.lock().expect("nobody panics").insert(value, fate);
        }
    }

    async fn second_thought(&self, id: String, due: i64, hand: &mut Hand) -> Fate {
        let topic = TOPIC.to_owned();
        match hand.rng.random_range(0..12) {
            0 => {
                let request = pb::CancelScheduleRequest { topic, id };
                let answer =
                    hand.client.call::<_, pb::CancelScheduleResponse>("CancelSchedule", &request).await;
                match answer {
                    Ok(_) => Fate::Cancelled,
                    // Also where it is said not to be there: the client asks again, and an earlier one may have cancelled it.
                    Err(_) => Fate::PerhapsCancelled(due),
                }
            }
            1 => {
                let request = pb::DeliverScheduleNowRequest { topic, id };
                // Whatever the answer is: it is delivered once.
                let _ = hand
                    .client
                    .call::<_, pb::DeliverScheduleNowResponse>("DeliverScheduleNow", &request)
                    .await;
                Fate::Demanded
            }
            _ => Fate::Due(due),
        }
    }

    /// Waits until nothing is due any more, and holds what was delivered against what was promised.
    pub(super) async fn finish(&self, client: &Client, scenario: &mut Scenario) {
        let mut delivered = self.until_delivered(client, scenario).await;
        let told = self.0.lock().expect("nobody panics");
        let mut late = Vec::new();
        for (value, fate) in told.iter() {
            let times = delivered.remove(value).unwrap_or_default();
            let due = match (fate, times.len()) {
                (_, 2..) => {
                    scenario.violated(&format!("{value} was delivered {} times", times.len()));
                    continue;
                }
                (Fate::Cancelled, 1) => {
                    scenario.violated(&format!("{value} was cancelled and delivered"));
                    continue;
                }
                (Fate::Due(_) | Fate::Demanded, 0) => {
                    scenario.lost(&format!("{value}: {fate:?}"));
                    continue;
                }
                (Fate::Due(due) | Fate::Perhaps(due) | Fate::PerhapsCancelled(due), 1) => *due,
                _ => continue,
            };
            if times[0] < due {
                scenario.violated(&format!("{value} came {} ms early", due - times[0]));
            }
            late.push(times[0] - due);
        }
        delivered.keys().for_each(|value| scenario.phantom(value));
        scenario.read(late.len() as u64);
        late.sort_unstable();
        assert!(late.len() > 20, "there were no schedules");
        let cancelled = told.values().filter(|fate| **fate == Fate::Cancelled).count();
        scenario.note(format!(
            "schedules: {} kept, {} delivered in their time, {cancelled} cancelled; lost 0, twice 0, early 0; late p50 {} ms, longest {} ms (the broker was down)",
            told.len(),
            late.len(),
            late[late.len() / 2],
            late[late.len() - 1]
        ));
    }

    /// When each value was delivered, once everything that was promised is there and nothing waits.
    async fn until_delivered(&self, client: &Client, scenario: &mut Scenario) -> BTreeMap<String, Vec<i64>> {
        let since = Instant::now();
        let request = pb::ListSchedulesRequest { topic: TOPIC.to_owned(), ..Default::default() };
        loop {
            let left: pb::ListSchedulesResponse =
                ask(client, "ListSchedules", &request).await.expect("schedules can be listed");
            let mut delivered: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            for message in all(client, TOPIC).await {
                delivered.entry(text(&message.value)).or_default().push(message.timestamp_ms);
            }
            let there = {
                let told = self.0.lock().expect("nobody panics");
                let mut promised =
                    told.iter().filter(|(_, fate)| matches!(fate, Fate::Due(_) | Fate::Demanded));
                promised.all(|(value, _)| delivered.contains_key(value))
            };
            if left.schedules.is_empty() && there {
                return delivered;
            }
            if since.elapsed() > DEADLINE {
                scenario.violated(&format!("not all is delivered, {} wait", left.schedules.len()));
                return delivered;
            }
            sleep(PAUSE).await;
        }
    }
}
