//! Members that come, go, die, sleep and send twice; topics that come, grow and go; coordinators that change.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Join {
        member: u8,
        wide: bool,
        assignor: u8,
    },
    /// Static: in the place of the process before it, if there is one.
    Restart {
        instance: u8,
    },
    Leave {
        member: u8,
    },
    Die {
        member: u8,
    },
    /// It sends, and gets the answer.
    Beat {
        member: u8,
    },
    /// It sends, and the answer is lost.
    Unheard {
        member: u8,
    },
    /// A heartbeat of earlier arrives (again).
    Late {
        index: prop::sample::Index,
    },
    Topic {
        topic: u8,
        count: u32,
    },
    Pass {
        seconds: u64,
    },
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6u8, any::<bool>(), 0..3u8)
            .prop_map(|(member, wide, assignor)| Step::Join { member, wide, assignor }),
        1 => (0..2u8).prop_map(|instance| Step::Restart { instance }),
        1 => (0..8u8).prop_map(|member| Step::Leave { member }),
        1 => (0..8u8).prop_map(|member| Step::Die { member }),
        9 => (0..8u8).prop_map(|member| Step::Beat { member }),
        3 => (0..8u8).prop_map(|member| Step::Unheard { member }),
        3 => any::<prop::sample::Index>().prop_map(|index| Step::Late { index }),
        1 => (0..3u8, 0..7u32).prop_map(|(topic, count)| Step::Topic { topic, count }),
        3 => (1..4u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Reload),
    ]
}

/// A process with the time of the last heartbeat that was answered.
#[derive(Debug, Clone)]
struct Process {
    client: Client,
    sent: Duration,
}

#[derive(Debug)]
struct World {
    group: Group,
    now: Duration,
    topics: BTreeMap<TopicName, u32>,
    /// By slot; dead ones are not here.
    living: BTreeMap<u8, Process>,
    /// What died, left or was fenced, as it was.
    dead: Vec<Client>,
    sent: Vec<(String, Beat)>,
    joins: HashMap<u8, u32>,
    generation: u64,
}

impl World {
    fn new() -> Self {
        Self {
            group: Group::default(),
            now: SESSION,
            topics: topics(&[("t0", 5), ("t1", 3)]),
            living: BTreeMap::new(),
            dead: Vec::new(),
            sent: Vec::new(),
            joins: HashMap::new(),
            generation: 0,
        }
    }

    fn bury(&mut self, slot: u8) {
        self.dead.extend(self.living.remove(&slot).map(|process| process.client));
    }

    fn join(&mut self, slot: u8, instance: Option<String>, wide: bool, assignor: u8) {
        let life = self.joins.entry(slot).or_default();
        *life += 1;
        // Every other life of a member without instance id keeps its member id.
        let id = format!("m{slot}-{}", if instance.is_some() { *life } else { *life / 2 });
        let filters: &[&str] = if wide { &["#"] } else { &["t0"] };
        let assignor = Assignor::ALL[usize::from(assignor)];
        let join = Join { instance: instance.map(Into::into), assignor, ..join(&id, filters) };
        self.bury(slot);
        self.group.join(self.now, &self.topics, join).unwrap();
        let process = Process { client: Client::of(&self.group, &id), sent: self.now };
        self.living.insert(slot, process);
    }

    fn beat(&mut self, slot: u8, heard: bool) {
        let Some(process) = self.living.get_mut(&slot) else { return };
        let beat = process.client.beat();
        self.sent.push((process.client.id.clone(), beat.clone()));
        let answer = self.group.heartbeat(self.now, &process.client.id, &beat);
        match answer {
            Err(_) => self.bury(slot),
            Ok(()) if heard => {
                process.client.apply(&self.group.assigned(&process.client.id).unwrap());
                process.sent = self.now;
            }
            Ok(()) => {}
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join { member, wide, assignor } => self.join(member, None, wide, assignor),
            Step::Restart { instance } => {
                let slot = 6 + instance;
                self.join(slot, Some(format!("i{instance}")), true, 0);
            }
            Step::Leave { member } => {
                if let Some(process) = self.living.get(&member) {
                    let _ = self.group.leave(self.now, &process.client.id);
                    self.bury(member);
                }
            }
            Step::Die { member } => self.bury(member),
            Step::Beat { member } => self.beat(member, true),
            Step::Unheard { member } => self.beat(member, false),
            Step::Late { ref index } => {
                if !self.sent.is_empty() {
                    let (id, beat) = index.get(&self.sent).clone();
                    let _ = self.group.heartbeat(self.now, &id, &beat);
                }
            }
            Step::Topic { topic: number, count } => {
                let name = topic(&format!("t{number}"));
                match count {
                    0 => drop(self.topics.remove(&name)),
                    _ => drop(self.topics.insert(name, count)),
                }
                self.group.follow(self.now, &self.topics);
            }
            Step::Pass { seconds } => {
                self.now += Duration::from_secs(seconds);
                // A process that heard nothing for a session stops by itself.
                let over = self.living.iter().filter(|(_, process)| process.sent + SESSION <= self.now);
                let over: Vec<u8> = over.map(|(slot, _)| *slot).collect();
                over.into_iter().for_each(|slot| self.bury(slot));
                self.group.expire(self.now);
            }
            Step::Reload => {
                let bytes = self.group.encode();
                self.group = Group::decode(&bytes, self.now).unwrap();
                assert_eq!(self.group.encode(), bytes);
            }
        }
        self.check();
    }

    fn check(&mut self) {
        assert!(self.group.generation >= self.generation, "the generation goes back");
        self.generation = self.group.generation;
        let mut owners: BTreeMap<&Place, &str> = BTreeMap::new();
        for process in self.living.values() {
            for place in &process.client.owned {
                let other = owners.insert(place, &process.client.id);
                assert_eq!(other, None, "{place:?} is read by {} as well", process.client.id);
            }
        }
        let mut committers: BTreeMap<&Place, &str> = BTreeMap::new();
        for client in self.living.values().map(|process| &process.client).chain(&self.dead) {
            for place in &client.owned {
                if self.group.check_commit(&client.id, client.generation, [place]).is_ok() {
                    let other = committers.insert(place, &client.id).unwrap_or(&client.id);
                    assert_eq!(other, client.id, "two may commit {place:?}");
                }
            }
        }
        let shown: usize = self.group.members.values().map(|member| member.clone().places().len()).sum();
        assert_eq!(shown, self.group.owners.len());
    }

    /// Everything calms down: the dead expire, the living go on.
    fn end(mut self) {
        for _ in 0..30 {
            for slot in 0..8 {
                self.beat(slot, true);
                self.check();
            }
            self.step(&Step::Pass { seconds: 1 });
        }
        let members: Vec<_> = self.living.values().map(|process| &process.client).collect();
        if members.is_empty() {
            return;
        }
        assert_eq!(self.group.view().state, GroupState::Stable);
        let mut owned = BTreeSet::new();
        members.iter().for_each(|client| owned.extend(client.owned.clone()));
        let wanted = self.group.topics.iter();
        let wanted: BTreeSet<Place> =
            wanted.flat_map(|(topic, count)| (0..*count).map(|n| (topic.clone(), PartitionId(n)))).collect();
        assert_eq!(owned, wanted, "every partition has its owner");
        let alike = self.group.members.values().all(|member| *member.topics == self.group.topics);
        if alike && self.group.topics.len() == 1 {
            let sizes = members.iter().map(|client| client.owned.len());
            let (least, most) = (sizes.clone().min().unwrap(), sizes.max().unwrap());
            assert!(most - least <= 1, "{least} to {most}");
        }
    }
}

proptest! {
    #[test]
    fn a_partition_never_has_two_owners_and_in_the_end_has_one(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        world.end();
    }

    /// Whatever the group looks like: who joins takes its share, and no more moves.
    #[test]
    fn a_join_moves_no_more_than_it_has_to(
        count in 1..200u32, members in 1..20usize, gone in prop::collection::vec(0..20usize, 0..4)
    ) {
        let all = topics(&[("t", count)]);
        let mut group = Group::default();
        let mut clients = Vec::new();
        for member in 0..members {
            let id = format!("m{member}");
            group.join(SESSION, &all, join(&id, &["t"])).unwrap();
            clients.push(Client::of(&group, &id));
        }
        for member in gone {
            if clients.len() > 1 {
                let client = clients.remove(member % clients.len());
                group.leave(SESSION, &client.id).unwrap();
            }
        }
        settle(&mut group, &mut clients, SESSION);
        let before = clients.clone();
        group.join(SESSION, &all, join("late", &["t"])).unwrap();
        clients.push(Client::of(&group, "late"));
        settle(&mut group, &mut clients, SESSION);
        let pairs = before.iter().zip(&clients);
        let moved: usize = pairs.map(|(then, now)| then.owned.difference(&now.owned).count()).sum();
        prop_assert_eq!(moved, clients.last().unwrap().owned.len(), "only what the new one gets moves");
        prop_assert!(moved <= (count as usize).div_ceil(clients.len()));
    }
}
