//! The task of one replica: mail in, actions out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use flymq_engine::{ReplicaFailure, ReplicaListener};
use flymq_storage::{DurableListener, Log, StorageError};
use flymq_types::{LeaderEpoch, Offset, RecordBatch};
use tokio::sync::{mpsc, oneshot};

use super::durable::Durable;
use super::flow::Flow;
use super::handle::{NewMeta, Shared};
use super::held::Held;
use super::mail::{Mail, SentRange};
use super::perform::Waiting;
use super::range::view_of;
use super::send::LastRead;
use super::set::Inner;
use super::throttle::Ahead;
use crate::replica::{LogView, Millis, Replica, ReplicaAction, ReplicaEvent, RoleName, Token};
use crate::task::in_place;

/// Most mail taken at once.
const DRAIN: usize = 256;
/// What a lone request may be, bytes: more is synced while the next is written.
const LONE_BYTES: usize = 64 << 10;
/// A follower's ranges that are held back go on after so long without an ack.
const PATIENCE: Millis = 1_000;

/// A replica with all that it works on.
pub(super) struct Runner {
    pub set: Arc<Inner>,
    pub shared: Arc<Shared>,
    pub replica: Replica,
    /// None where it could not be opened.
    pub log: Option<Log>,
    pub listener: Weak<dyn ReplicaListener>,
    /// The log holds it weakly.
    _durable: Option<Arc<dyn DurableListener>>,
    pub waiting: BTreeMap<Token, Waiting>,
    /// Batches that wait for the end of a hand-over.
    pub held: Held,
    tokens: u64,
    /// The leadership that the listener has been told of.
    pub term: Option<LeaderEpoch>,
    /// Where the batch was appended that the state machine is being told of.
    pub appended_at: Option<Offset>,
    /// The batches of the frame that it is being told of, checked.
    pub incoming: Vec<RecordBatch>,
    /// While it is far behind its leader: from where on its log's page cache is to be let go.
    pub cold: Option<Offset>,
    pub last_read: Option<LastRead>,
    pub flow: Flow,
    /// Bytes per second to replicas that are being added; 0: any.
    pub throttle: u64,
    /// What was sent faster than that.
    pub ahead: Ahead,
    /// Events that came of actions.
    pub soon: VecDeque<ReplicaEvent>,
    /// Whether the next batches are the first from this leader.
    pub joins: bool,
    /// Why the log last refused what its leader says, if it has taken no batches since.
    pub refused: Option<String>,
    /// Whether the log differs from what the state machine believes.
    differs: bool,
    /// Whether the last mail made it wait for the disk: the next will, too.
    pub was_at_disk: bool,
    pub wants_sync: bool,
    /// Bytes appended since a sync was last asked for.
    pub unsynced: usize,
    paused_until: Millis,
    last_tick: Millis,
    session: Option<Millis>,
    /// Why it takes no part until a restart.
    failed: Option<StorageError>,
    /// To close, once the mail is done.
    closing: Option<oneshot::Sender<()>>,
}

impl Runner {
    pub(super) fn new(
        set: Arc<Inner>,
        shared: Arc<Shared>,
        log: Option<Log>,
        listener: Weak<dyn ReplicaListener>,
    ) -> Self {
        let view = log.as_ref().map_or_else(LogView::default, view_of);
        let durable = log.as_ref().map(|log| {
            let durable: Arc<dyn DurableListener> = Arc::new(Durable(shared.clone()));
            log.subscribe(&durable);
            durable
        });
        let replica = Replica::new(set.me, set.broker_epoch, set.replica_settings(), view);
        let replica = replica.knowing(set.known(shared.key));
        shared.high.store(replica.high_watermark().get(), Ordering::Release);
        let flow = Flow::new(set.settings.window_bytes, PATIENCE);
        let failed = log.is_none().then_some(StorageError::Closed);
        Self {
            set,
            shared,
            replica,
            log,
            listener,
            _durable: durable,
            waiting: BTreeMap::new(),
            held: Held::default(),
            tokens: 0,
            term: None,
            appended_at: None,
            incoming: Vec::new(),
            cold: None,
            last_read: None,
            flow,
            throttle: 0,
            ahead: Ahead::default(),
            soon: VecDeque::new(),
            joins: false,
            refused: None,
            differs: false,
            was_at_disk: false,
            wants_sync: false,
            unsynced: 0,
            paused_until: 0,
            last_tick: 0,
            session: None,
            failed,
            closing: None,
        }
    }

    /// Takes mail until it is closed.
    pub(super) async fn run(mut self, mut mailbox: mpsc::UnboundedReceiver<Mail>) {
        // What became durable before the subscription.
        self.tell_durable();
        let mut mail = Vec::with_capacity(DRAIN);
        while self.closing.is_none() && mailbox.recv_many(&mut mail, DRAIN).await > 0 {
            self.take_in_turn(&mut mail).await;
            self.sync(&mut mailbox, &mut mail).await;
        }
        let closing = self.end();
        drop(mailbox);
        if let Some(closing) = closing {
            let _gone = closing.send(());
        }
    }

    /// Whether what comes next probably makes files or reads them.
    fn expects_disk(&mut self) -> bool {
        let empty = self.log.as_ref().is_some_and(|log| log.start_offset() == log.end_offset());
        std::mem::take(&mut self.was_at_disk) || empty || self.joins || self.shared.has_news()
    }

    /// Takes mail, in its turn where that waits for the disk.
    async fn take_in_turn(&mut self, mail: &mut Vec<Mail>) {
        let set = self.set.clone();
        // It is never closed.
        let _turn = if self.expects_disk() { set.disk.acquire().await.ok() } else { None };
        self.take_all(mail);
    }

    /// Has what was appended synced. A lone small request on this thread: the switches to the sync thread and back would
    /// cost as much as the disk. More by the sync thread, while the next mail is taken.
    async fn sync(&mut self, mailbox: &mut mpsc::UnboundedReceiver<Mail>, mail: &mut Vec<Mail>) {
        if self.wants_sync && self.may_sync_here() {
            // What it sends to the others leaves first: they write while this disk does. Who else has something to append
            // does so now, for the same sync.
            tokio::task::yield_now().await;
            while mail.len() < DRAIN
                && let Ok(one) = mailbox.try_recv()
            {
                mail.push(one);
            }
            self.take_in_turn(mail).await;
        }
        if !std::mem::take(&mut self.wants_sync) {
            return;
        }
        let here = self.may_sync_here();
        self.unsynced = 0;
        let Some(log) = &self.log else { return };
        if !here || !in_place(|| log.sync_alone()) {
            log.request_sync();
        }
    }

    fn may_sync_here(&self) -> bool {
        self.unsynced <= LONE_BYTES && self.log.as_ref().is_some_and(Log::may_sync_alone)
    }

    fn end(mut self) -> Option<oneshot::Sender<()>> {
        self.held.refuse(&ReplicaFailure::NotLeader);
        self.fail_waiting(&ReplicaFailure::Closed);
        if self.term.take().is_some()
            && let Some(listener) = self.listener.upgrade()
        {
            listener.ended();
        }
        self.closing.take()
    }

    fn take_all(&mut self, mail: &mut Vec<Mail>) {
        let now = self.set.now();
        // A replica that has slept: before anything happens, its followers have what it has.
        if now.saturating_sub(self.last_tick) >= self.tick_millis() {
            self.tick(now);
        }
        let mut produces = Vec::new();
        for mail in mail.drain(..) {
            match mail {
                Mail::Produce(produce) => produces.push(produce),
                other => {
                    self.append(&mut produces);
                    self.take(other);
                }
            }
        }
        self.append(&mut produces);
        self.release();
        let busy = self.flow.is_holding() || self.ahead.is_holding() || self.replica.has_work();
        self.shared.busy.store(busy && self.failed.is_none(), Ordering::Relaxed);
    }

    fn take(&mut self, mail: Mail) {
        match mail {
            Mail::Produce(produce) => self.append(&mut vec![produce]),
            Mail::Delete { reply, .. } if self.failed.is_some() => {
                let _gone = reply.send(Err(ReplicaFailure::NotLeader));
            }
            Mail::Delete { before, reply } => {
                let token = self.wait(Waiting::Delete(reply));
                self.event(ReplicaEvent::DeleteRecords { before, token: Some(token) });
            }
            Mail::StartMoved => {
                if let (Some(log), Some(_)) = (&self.log, self.term) {
                    let before = log.start_offset();
                    self.event(ReplicaEvent::DeleteRecords { before, token: None });
                }
            }
            Mail::Frame { from, frame } => self.frame(from, frame),
            Mail::Durable { end, generation } => self.event(ReplicaEvent::LocalDurable { end, generation }),
            Mail::Failed(error) => self.fail(&error),
            Mail::Read(range) => self.send_read_apart(*range),
            Mail::Sent(range) => self.sent(range),
            Mail::IsrRefused { partition_epoch } => self.event(ReplicaEvent::IsrRefused { partition_epoch }),
            Mail::HandOverRefused { partition_epoch } => {
                self.event(ReplicaEvent::HandOverRefused { partition_epoch });
            }
            Mail::DamageMet => self.damage_met(),
            Mail::Wake => self.refresh(),
            Mail::Tick => {
                self.shared.tick_queued.store(false, Ordering::Release);
                self.tick(self.set.now());
            }
            Mail::Close(reply) => self.closing = Some(reply),
        }
    }

    pub(super) fn tick_millis(&self) -> Millis {
        Millis::try_from(self.set.settings.tick.as_millis()).unwrap_or(Millis::MAX)
    }

    fn tick(&mut self, now: Millis) {
        self.last_tick = now;
        self.event(ReplicaEvent::Tick);
        for range in self.flow.expired(now) {
            self.range_sent(range);
        }
        for range in self.ahead.due(now, self.tick_millis()) {
            self.sent_in_time(now, range);
        }
        if self.failed.is_some() {
            self.give_up_leadership();
        }
        let failed = self.failed.as_ref().map(ToString::to_string);
        self.shared.status.lock().note(&self.replica, failed, self.refused.clone());
    }

    /// Takes newer metadata and the session: in this order, as a session counts only with the metadata of its time.
    pub(super) fn refresh(&mut self) {
        let session = if cfg!(mutant = "driver_session_never_ends") {
            Some(self.set.now())
        } else {
            self.set.session()
        };
        if let Some(NewMeta { meta, min_insync, throttle }) = self.shared.news() {
            self.throttled_by(throttle);
            self.replica.set_min_insync(min_insync);
            self.joins |= meta.leader_epoch != self.replica.meta().leader_epoch;
            self.step(ReplicaEvent::Meta(meta));
            if self.failed.is_some() {
                self.give_up_leadership();
            }
        }
        if session > self.session
            && let Some(sent) = session
        {
            self.session = session;
            self.step(ReplicaEvent::SessionRenewed { sent });
        }
    }

    /// Takes another throttle: whoever waits for the old one's time goes on.
    fn throttled_by(&mut self, throttle: u64) {
        if std::mem::replace(&mut self.throttle, throttle) == throttle {
            return;
        }
        self.set.throttle.forget();
        let held = self.ahead.due(Millis::MAX - self.tick_millis(), self.tick_millis());
        held.into_iter().for_each(|range| self.shared.post(Mail::Sent(SentRange { not_before: 0, ..range })));
    }

    /// Something has happened.
    pub(super) fn event(&mut self, event: ReplicaEvent) {
        self.refresh();
        self.step(event);
    }

    pub(super) fn step(&mut self, event: ReplicaEvent) {
        self.step_at(self.set.now(), event);
    }

    /// As [`Self::step`], of what was decided on at `now`.
    pub(super) fn step_at(&mut self, now: Millis, event: ReplicaEvent) {
        self.step_with(|replica, _, out| replica.step(now, event, out));
        while let Some(event) = self.soon.pop_front() {
            self.step_with(|replica, now, out| replica.step(now, event, out));
        }
        if std::mem::take(&mut self.differs)
            && let Some(log) = self.log.clone()
        {
            self.step_with(|replica, now, out| replica.log_changed(now, view_of(&log), out));
            self.set_generation(self.replica.log().generation);
            self.joins = true;
        }
    }

    /// One step, what it wants done, and what it means for those who read and write here.
    fn step_with(&mut self, step: impl FnOnce(&mut Replica, Millis, &mut Vec<ReplicaAction>)) {
        if self.failed.is_some() {
            // It only keeps the metadata, to know whether it is to lead.
            let mut nothing = Vec::new();
            return step(&mut self.replica, self.set.now(), &mut nothing);
        }
        let mut actions = Vec::new();
        step(&mut self.replica, self.set.now(), &mut actions);
        let leads = self.leads();
        if self.term.is_some() && self.term != leads {
            self.end_term();
        }
        for action in actions {
            if self.failed.is_none() {
                self.perform(action);
            }
        }
        if self.failed.is_none() && self.term != leads && leads.is_some() {
            self.begin_term(leads);
        }
    }

    fn leads(&self) -> Option<LeaderEpoch> {
        (self.replica.role() == RoleName::Leader).then(|| self.replica.meta().leader_epoch)
    }

    fn begin_term(&mut self, term: Option<LeaderEpoch>) {
        self.term = term;
        self.refused = None;
        self.flow.clear();
        self.ahead.clear();
        let high = self.replica.high_watermark();
        self.shared.high.store(high.get(), Ordering::Release);
        if let (Some(listener), Some(epoch)) = (self.listener.upgrade(), term) {
            listener.leads(epoch, high);
        }
    }

    fn end_term(&mut self) {
        self.term = None;
        self.last_read = None;
        self.flow.clear();
        self.ahead.clear();
        if let Some(listener) = self.listener.upgrade()
            && !cfg!(mutant = "driver_term_never_ends")
        {
            listener.ended();
        }
    }

    /// What the state machine believes of the log is to be put right, once this step is done.
    pub(super) fn log_differs(&mut self) {
        self.differs = true;
    }

    pub(super) fn failed(&self) -> Option<&StorageError> {
        self.failed.as_ref()
    }

    pub(super) fn set_failed(&mut self, error: StorageError) {
        self.failed = Some(error);
    }

    /// No batches of the leader are taken for so long.
    pub(super) fn pause(&mut self, time: Millis) {
        self.paused_until = self.set.now() + time;
    }

    pub(super) fn is_paused(&self) -> bool {
        self.set.now() < self.paused_until
    }

    pub(super) fn wait(&mut self, waiting: Waiting) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.waiting.insert(token, waiting);
        token
    }
}
