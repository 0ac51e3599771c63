//! The rules of ISR and epochs on three replicas, as small as they can be: no time, no windows, a message is a step that
//! reads one side and writes the other.

use std::collections::BTreeSet;

use stateright::{Model, Property};

pub const REPLICAS: usize = 3;

/// Who wrote a record, and which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    pub epoch: u8,
    pub number: u8,
}

/// A set of replicas, as bits.
pub type Set = u8;

fn has(set: Set, replica: usize) -> bool {
    set & (1 << replica) != 0
}

/// What the metadata group has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Meta {
    pub leader: usize,
    pub epoch: u8,
    pub isr: Set,
    pub version: u8,
}

/// A change that a leader asks for. It may be delivered at any time, and more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wish {
    pub from: usize,
    pub epoch: u8,
    pub version: u8,
    pub isr: Set,
}

/// A leader asks that another one lead: compared with `version`, delivered at any time, and more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Move {
    pub version: u8,
    pub to: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replica {
    pub log: Vec<Record>,
    /// So many records are on disk.
    pub durable: usize,
    /// The metadata that it acts on.
    pub meta: Meta,
    /// Leads in `meta.epoch`; not after a crash.
    pub leads: bool,
    /// Follows, and has agreed with its leader on where the logs part.
    pub joined: bool,
    pub epoch_start: usize,
    pub high: usize,
    /// What the leader knows to be on each disk.
    pub acked: [Option<usize>; REPLICAS],
    /// Everyone who may have been added under the version of `meta`; 0: nothing is on its way.
    pub possible: Set,
    /// It has asked under the version of `meta` that another one lead.
    pub hands_over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub replicas: [Replica; REPLICAS],
    pub meta: Meta,
    pub wishes: BTreeSet<Wish>,
    pub moves: BTreeSet<Move>,
    /// A leadership was handed over, and whether the next leader lacked anything.
    pub moved: Option<bool>,
    /// What some leader has said is committed.
    pub committed: Vec<Record>,
    /// A leader has committed something else than another before it.
    pub contradiction: bool,
    pub produced: u8,
    pub crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Produce(usize),
    Sync(usize),
    Learn(usize),
    Join(usize),
    Copy(usize),
    Ack(usize),
    Commit(usize),
    Ask(usize, Set),
    Deliver(Wish),
    Refuse(usize),
    HandOver(usize, usize),
    Move(Move),
    Elect(usize, Set),
    Crash(usize),
}

/// Each rule can be switched off, to see that the model notices.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub acks_only_what_is_durable: bool,
    pub counts_who_may_have_joined: bool,
    pub remembers_refused_wishes: bool,
    pub joins_at_the_start_of_the_epoch: bool,
    pub truncates_by_epoch: bool,
    pub counts_the_committed_set: bool,
    pub hands_over_what_it_has: bool,
    pub takes_nothing_while_it_hands_over: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            acks_only_what_is_durable: true,
            counts_who_may_have_joined: true,
            remembers_refused_wishes: true,
            joins_at_the_start_of_the_epoch: true,
            truncates_by_epoch: true,
            counts_the_committed_set: true,
            hands_over_what_it_has: true,
            takes_nothing_while_it_hands_over: true,
        }
    }
}

/// The model with its bounds.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub rules: Rules,
    /// In sync at the beginning.
    pub isr: Set,
    pub records: u8,
    pub epochs: u8,
    pub versions: u8,
    pub crashes: u8,
}

impl Cluster {
    /// The leader that `follower` follows, if that one leads in the same epoch.
    fn leader_of(state: &State, follower: usize) -> Option<usize> {
        let meta = state.replicas[follower].meta;
        let leader = &state.replicas[meta.leader];
        let same = leader.meta.epoch == meta.epoch;
        (meta.leader != follower && leader.leads && same).then_some(meta.leader)
    }

    /// Where the logs part: the follower's, cut there, is a part of the leader's. (KIP-279 finds it by epochs; records
    /// of one offset and epoch are the same.)
    fn common(&self, state: &State, leader: usize, follower: usize) -> usize {
        let (theirs, mine) = (&state.replicas[leader].log, &state.replicas[follower]);
        let same = theirs.iter().zip(&mine.log).take_while(|(a, b)| a == b).count();
        if self.rules.truncates_by_epoch { same } else { mine.high.min(same) }
    }

    fn wishes(&self, state: &State, leader: usize, actions: &mut Vec<Action>) {
        let replica = &state.replicas[leader];
        if replica.possible != 0 || replica.meta.version >= self.versions {
            return;
        }
        for other in (0..REPLICAS).filter(|other| *other != leader) {
            let bit = 1 << other;
            let needed = if self.rules.joins_at_the_start_of_the_epoch { replica.epoch_start } else { 0 };
            let fit = replica.acked[other].is_some_and(|end| end >= replica.high.max(needed));
            if has(replica.meta.isr, other) {
                actions.push(Action::Ask(leader, replica.meta.isr & !bit));
            } else if fit {
                actions.push(Action::Ask(leader, replica.meta.isr | bit));
            }
        }
    }

    fn committable(&self, replica: &Replica, me: usize) -> usize {
        let mut members = replica.meta.isr;
        if self.rules.counts_who_may_have_joined {
            members |= replica.possible;
        }
        if !self.rules.counts_the_committed_set && replica.possible != 0 {
            members = replica.possible;
        }
        let end = |id: usize| if id == me { replica.durable } else { replica.acked[id].unwrap_or(0) };
        (0..REPLICAS).filter(|id| has(members, *id)).map(end).min().unwrap_or(0)
    }

    fn commit(&self, state: &mut State, leader: usize) {
        let high = self.committable(&state.replicas[leader], leader);
        let replica = &mut state.replicas[leader];
        replica.high = high;
        let known = state.committed.len().min(high);
        state.contradiction |= state.committed[..known] != replica.log[..known];
        state.committed.extend(replica.log[known..high].iter().copied());
    }

    fn learn(state: &mut State, id: usize) {
        let meta = state.meta;
        let replica = &mut state.replicas[id];
        if meta.epoch != replica.meta.epoch {
            replica.leads = meta.leader == id;
            replica.joined = false;
            replica.epoch_start = replica.log.len();
            replica.acked = [None; REPLICAS];
            replica.possible = 0;
        }
        if meta.version != replica.meta.version {
            replica.possible = 0;
            replica.hands_over = false;
        }
        replica.meta = meta;
    }

    /// Whether `to` has everything on disk that the leader has: every record counts as answered.
    fn moves(state: &mut State, Move { version, to }: Move) {
        let meta = state.meta;
        if version == meta.version {
            let (old, next) = (&state.replicas[meta.leader], &state.replicas[to]);
            let lacks = old.leads && !next.log[..next.durable].starts_with(&old.log);
            state.moved = Some(lacks || state.moved == Some(true));
            state.meta = Meta { leader: to, epoch: meta.epoch + 1, version: version + 1, ..meta };
        }
    }

    fn hand_overs(&self, state: &State, leader: usize, actions: &mut Vec<Action>) {
        let replica = &state.replicas[leader];
        for to in (0..REPLICAS).filter(|to| *to != leader && has(replica.meta.isr, *to)) {
            let has_all = replica.acked[to] == Some(replica.log.len());
            if has_all || !self.rules.hands_over_what_it_has {
                actions.push(Action::HandOver(leader, to));
            }
        }
    }

    fn deliver(state: &mut State, wish: Wish) {
        let meta = &mut state.meta;
        if wish.from == meta.leader && wish.epoch == meta.epoch && wish.version == meta.version {
            meta.isr = wish.isr;
            meta.version += 1;
        }
    }

    fn follow(&self, state: &mut State, follower: usize, leader: usize, action: Action) {
        let end = self.common(state, leader, follower);
        let next = state.replicas[leader].log.get(state.replicas[follower].log.len()).copied();
        let replica = &mut state.replicas[follower];
        match action {
            Action::Join(_) => {
                replica.log.truncate(end);
                replica.durable = replica.durable.min(end);
                replica.joined = true;
            }
            Action::Copy(_) => replica.log.extend(next),
            _ => {
                let durable =
                    if self.rules.acks_only_what_is_durable { replica.durable } else { replica.log.len() };
                let high = replica.log.len().min(state.replicas[leader].high);
                state.replicas[follower].high = state.replicas[follower].high.max(high);
                state.replicas[leader].acked[follower] = Some(durable);
            }
        }
    }

    fn of_replica(&self, state: &State, id: usize, actions: &mut Vec<Action>) {
        let replica = &state.replicas[id];
        if replica.durable < replica.log.len() {
            actions.push(Action::Sync(id));
        }
        if replica.meta != state.meta {
            actions.push(Action::Learn(id));
        }
        if state.crashes < self.crashes {
            actions.push(Action::Crash(id));
        }
        if replica.leads {
            let holds = replica.hands_over && self.rules.takes_nothing_while_it_hands_over;
            if state.produced < self.records && !holds {
                actions.push(Action::Produce(id));
            }
            if self.committable(replica, id) > replica.high {
                actions.push(Action::Commit(id));
            }
            if replica.possible != 0 {
                actions.push(Action::Refuse(id));
            }
            self.wishes(state, id, actions);
            self.hand_overs(state, id, actions);
        } else if let Some(leader) = Self::leader_of(state, id) {
            let theirs = &state.replicas[leader];
            if !replica.joined {
                actions.push(Action::Join(id));
                return;
            }
            if theirs.log.len() > replica.log.len() {
                actions.push(Action::Copy(id));
            }
            if theirs.acked[id].is_none_or(|end| end < replica.log.len()) {
                actions.push(Action::Ack(id));
            }
        }
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let meta = Meta { leader: 0, epoch: 1, isr: self.isr, version: 1 };
        let replica = |id: usize| Replica {
            log: Vec::new(),
            durable: 0,
            meta,
            leads: id == 0,
            joined: true,
            epoch_start: 0,
            high: 0,
            acked: [None; REPLICAS],
            possible: 0,
            hands_over: false,
        };
        vec![State {
            replicas: std::array::from_fn(replica),
            meta,
            wishes: BTreeSet::new(),
            moves: BTreeSet::new(),
            moved: None,
            committed: Vec::new(),
            contradiction: false,
            produced: 0,
            crashes: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        (0..REPLICAS).for_each(|id| self.of_replica(state, id, actions));
        actions.extend(
            state.wishes.iter().filter(|w| w.version == state.meta.version).map(|w| Action::Deliver(*w)),
        );
        if state.meta.epoch < self.epochs {
            actions.extend(state.moves.iter().map(|one| Action::Move(*one)));
            for id in (0..REPLICAS).filter(|id| has(state.meta.isr, *id)) {
                actions.push(Action::Elect(id, state.meta.isr));
                let without = state.meta.isr & !(1 << state.meta.leader);
                if id != state.meta.leader {
                    actions.push(Action::Elect(id, without));
                }
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Produce(id) => {
                state.produced += 1;
                let record = Record { epoch: state.replicas[id].meta.epoch, number: state.produced };
                state.replicas[id].log.push(record);
            }
            Action::Sync(id) => state.replicas[id].durable = state.replicas[id].log.len(),
            Action::Learn(id) => Self::learn(&mut state, id),
            Action::Join(id) | Action::Copy(id) | Action::Ack(id) => {
                let leader = Self::leader_of(&state, id)?;
                self.follow(&mut state, id, leader, action);
            }
            Action::Commit(id) => self.commit(&mut state, id),
            Action::Ask(id, isr) => {
                let replica = &mut state.replicas[id];
                replica.possible = isr;
                let Meta { epoch, version, .. } = replica.meta;
                state.wishes.insert(Wish { from: id, epoch, version, isr });
            }
            Action::Deliver(wish) => Self::deliver(&mut state, wish),
            Action::Refuse(id) => {
                // As rule 6 has it: the present set is asked for under the same version, and what was asked before
                // stays possible.
                let replica = &mut state.replicas[id];
                if self.rules.remembers_refused_wishes {
                    let Meta { epoch, version, isr, .. } = replica.meta;
                    state.wishes.insert(Wish { from: id, epoch, version, isr });
                } else {
                    replica.possible = 0;
                }
            }
            Action::HandOver(id, to) => {
                let replica = &mut state.replicas[id];
                replica.hands_over = true;
                state.moves.insert(Move { version: replica.meta.version, to });
            }
            Action::Move(one) => Self::moves(&mut state, one),
            Action::Elect(leader, isr) => {
                let Meta { epoch, version, .. } = state.meta;
                state.meta = Meta { leader, epoch: epoch + 1, isr, version: version + 1 };
            }
            Action::Crash(id) => {
                state.crashes += 1;
                let replica = &mut state.replicas[id];
                replica.log.truncate(replica.durable);
                (replica.leads, replica.joined, replica.high, replica.possible) = (false, false, 0, 0);
                replica.hands_over = false;
                // It acts again once it has the metadata of its own registration.
                Self::learn(&mut state, id);
                state.replicas[id].joined = false;
            }
        }
        // Old metadata versions accept nothing: their wishes need not be told apart.
        let version = state.meta.version;
        state.wishes.retain(|wish| wish.version >= version);
        state.moves.retain(|one| one.version >= version);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("whoever may lead has all that is committed on disk", |_, state: &State| {
                let whole = |replica: &Replica| replica.log[..replica.durable].starts_with(&state.committed);
                (0..REPLICAS).filter(|id| has(state.meta.isr, *id)).all(|id| whole(&state.replicas[id]))
            }),
            Property::always("what is committed does not change", |_, state: &State| !state.contradiction),
            Property::always("an offset and an epoch name one record", |_, state: &State| {
                let logs = || state.replicas.iter().map(|replica| &replica.log);
                logs().all(|a| logs().all(|b| a.iter().zip(b).all(|(x, y)| x.epoch != y.epoch || x == y)))
            }),
            Property::always("a hand-over loses nothing", |_, state: &State| state.moved != Some(true)),
            Property::sometimes("a leadership is handed over", |_, state: &State| {
                state.moved == Some(false) && !state.replicas[state.meta.leader].log.is_empty()
            }),
            Property::sometimes("a second leader commits", |_, state: &State| {
                state.committed.iter().any(|record| record.epoch == 2)
            }),
            Property::sometimes("a replica leaves, and the others commit", |_, state: &State| {
                state.meta.epoch == 1 && state.meta.isr != 0b111 && !state.committed.is_empty()
            }),
        ]
    }
}
