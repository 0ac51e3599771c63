//! What happened, and what was broken: each counted under its own name, so that what is printed is what was counted.

use std::fmt;

macro_rules! counted {
    ($(#[$doc:meta])* $name:ident { $($one:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name { $($one,)* }

        impl $name {
            const ALL: &[(Self, &str)] = &[$((Self::$one, $text),)*];
        }
    };
}

counted! {
    /// Has to happen in every run: a simulation in which something never happens shows nothing of it.
    Event {
        Stops = "stops of the disk in the middle",
        Gaps = "seeds that ended with a gap",
        Committed = "transactions committed",
        Aborted = "aborted",
        Untold = "unknown",
        Late = "late requests",
        Numbered = "idempotent messages",
        Scheduled = "scheduled messages delivered",
        Cancelled = "cancelled",
        Queued = "records of a queue",
        HandedOut = "handed out",
        HandedOutAgain = "of those again",
        Accepted = "accepted",
        AnswersUntold = "answers unknown",
        AnswersRefused = "refused",
        Dead = "dead letters",
        MovesAborted = "moves aborted",
        MovesLeft = "left in the middle",
        Made = "made of others",
        TransformsCommitted = "transforms committed before the last life",
        TransformsAborted = "transforms aborted",
        TransformsLeft = "left in the middle",
        ZombieCalls = "zombies' calls",
        ZombiesRefused = "refused",
        Looks = "looks at records that expire",
        Seen = "of them seen",
        NoMoreSeen = "no more seen",
        TakenOut = "taken out of the log",
        Joined = "members joined",
        Left = "left",
        Silent = "silences",
        ThrownOut = "thrown out",
        Given = "partitions given",
        CommitsTaken = "commits taken",
        CommitsLate = "of lost partitions",
        CommitsRefused = "refused",
        CommitsUntold = "unknown",
    }
}

counted! {
    /// Must never happen.
    Broken {
        Duplicates = "duplicates",
        AbortedReads = "aborted reads",
        Torn = "torn",
        LostCommits = "lost commits",
        WrongOffsets = "wrong offsets of transactions",
        LateTaken = "late writes taken",
        Lost = "lost",
        OutOfPlace = "out of place",
        ScheduledLost = "scheduled messages lost",
        ScheduledTwice = "twice",
        CancelledCame = "delivered though cancelled",
        Early = "early",
        InBoth = "in both",
        InNeither = "in neither",
        DeadTwice = "dead twice",
        AgainAfterItsEnd = "again after its end",
        HeldByTwo = "held by two",
        OutOfTurn = "out of turn",
        TooOften = "too often",
        NotMade = "not made",
        MadeTwice = "made twice",
        MadeOutOfOrder = "made out of order",
        MadeOfNothing = "made of nothing",
        OffsetWrong = "offset wrong",
        SeenAfter = "seen after its expiry",
        GoneBefore = "gone before it",
        OtherEnd = "with another expiry",
        TwoOwners = "two owners",
        StaleTaken = "stale commits taken",
        WentBack = "offsets that went back",
        OffsetsLost = "committed offsets lost",
        OwnerRefused = "owners refused",
        OwnGaps = "gaps in the broker's own topics",
    }
}

#[derive(Debug)]
pub(super) struct Counts {
    pub seeds: u64,
    events: [u64; Event::ALL.len()],
    broken: [u64; Broken::ALL.len()],
    /// What was broken, each in a line.
    pub violations: Vec<String>,
}

impl Default for Counts {
    fn default() -> Self {
        let (events, broken) = ([0; Event::ALL.len()], [0; Broken::ALL.len()]);
        Self { seeds: 0, events, broken, violations: Vec::new() }
    }
}

impl Counts {
    pub fn of_a_seed() -> Self {
        Self { seeds: 1, ..Self::default() }
    }

    pub fn happened(&mut self, event: Event, times: u64) {
        self.events[event as usize] += times;
    }

    pub fn broke(&mut self, kind: Broken, what: &str) {
        self.broken[kind as usize] += 1;
        self.violations.push(format!("{}: {what}", Broken::ALL[kind as usize].1));
    }

    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.events.iter_mut().zip(other.events).for_each(|(all, more)| *all += more);
        self.broken.iter_mut().zip(other.broken).for_each(|(all, more)| *all += more);
    }

    pub fn assert_all_happened(&self) {
        let never = Event::ALL.iter().filter(|(event, _)| self.events[*event as usize] == 0);
        let never = never.filter(|(event, _)| *event != Event::Gaps);
        let never: Vec<_> = never.map(|(_, text)| text).collect();
        assert!(never.is_empty(), "never happened: {never:?}; {self}");
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = Event::ALL.iter().zip(self.events).map(|((_, text), count)| format!("{count} {text}"));
        let broken = Broken::ALL.iter().zip(self.broken).map(|((_, text), count)| format!("{text} {count}"));
        let (events, broken): (Vec<_>, Vec<_>) = (events.collect(), broken.collect());
        write!(f, "{} seeds: {}; {}", self.seeds, events.join(", "), broken.join(", "))
    }
}
