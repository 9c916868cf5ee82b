//! The one task that claims, starts and settles.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout_at},
};
use tower_webhooks_inbox::{
    Committer, Inbox, InboxError, InboxErrorKind, JobState, Leased, SettleResult, Wakeups, Worked,
};
use tracing::Instrument;

use super::{
    Options, Worker,
    attempt::{self, Ended, Verdict, event_id, panic_text, refused},
    handle::{DrainReport, Order},
    hooks::Hooks,
    lanes::Lanes,
    leases::{Leases, Running},
    meters::Label,
    trip::{DueQuestion, Finished, Trip, arrival, ask_due, due},
};
use crate::{HandlerError, Outcome, transaction::Transaction};

/// How long after a drain's deadline the worker may take to give jobs back.
const GRACE: Duration = Duration::from_secs(1);

/// Soonest look for a job that was said to be due: the inbox may say so early.
const SOONEST: Duration = Duration::from_millis(5);

/// Delays after a failed round trip: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(super) struct Pump {
    committer: Committer,
    inbox: Arc<dyn Inbox>,
    lanes: Lanes,
    hooks: Hooks,
    options: Options,
    /// Whether what is left in the inbox outlives the process.
    durable: bool,
    wakeups: Wakeups,
    tasks: JoinSet<Ended>,
    leases: Leases,
    finished: Vec<Finished>,
    trip: Option<Trip>,
    question: Option<DueQuestion>,
    /// The last claim left slots free: ask when there will be a job for them.
    idle: bool,
    claim_at: Instant,
    /// After a failed round trip, the next one.
    not_before: Instant,
    failures: u32,
    closed: bool,
    drain: Option<Drain>,
}

struct Drain {
    deadline: Instant,
    report: DrainReport,
    waiting: Vec<oneshot::Sender<DrainReport>>,
    /// Due jobs are still to be run: nobody else will.
    claiming: bool,
}

impl Pump {
    pub(super) fn new(worker: Worker, durable: bool) -> Self {
        let now = Instant::now();
        Self {
            wakeups: worker.committer.wakeups(),
            committer: worker.committer,
            inbox: worker.inbox,
            lanes: worker.lanes,
            hooks: worker.hooks,
            options: worker.options,
            durable,
            tasks: JoinSet::new(),
            leases: Leases::default(),
            finished: Vec::new(),
            trip: None,
            question: None,
            idle: false,
            claim_at: now,
            not_before: now,
            failures: 0,
            closed: false,
            drain: None,
        }
    }

    /// Runs until it is drained or the committer is closed.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut hints = true;
        loop {
            self.leases.sweep(Instant::now());
            self.depart();
            if self.closed || self.is_drained() {
                break;
            }
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                Some(order) = orders.recv() => self.order(order),
                answer = arrival(&mut self.trip) => self.arrived(answer),
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                more = self.wakeups.next(), if hints => {
                    hints = more;
                    self.claim_at = Instant::now();
                }
                answer = due(&mut self.question) => self.will_be_due(answer),
                () = sleep_until(wake_at) => {}
            }
        }
        self.finish(&mut orders).await;
    }

    fn order(&mut self, order: Order) {
        let Order::Drain { deadline, report } = order;
        match &mut self.drain {
            Some(drain) => {
                drain.deadline = drain.deadline.min(deadline);
                drain.waiting.push(report);
            }
            None => {
                self.claim_at = Instant::now();
                self.drain = Some(Drain {
                    deadline,
                    report: DrainReport::default(),
                    waiting: vec![report],
                    claiming: !self.durable && !self.lanes.is_empty(),
                });
            }
        }
    }

    fn may_claim(&self) -> bool {
        self.drain.as_ref().is_none_or(|drain| drain.claiming)
    }

    fn is_drained(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| {
            let nothing_left = self.leases.is_empty()
                && self.finished.is_empty()
                && self.trip.is_none()
                && !drain.claiming;
            nothing_left || Instant::now() >= drain.deadline
        })
    }

    /// When to look up although nothing happened.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let mut wake_at = now + self.options.poll;
        if let Some(at) = self.leases.watch_at() {
            wake_at = wake_at.min(at);
        }
        if let Some(drain) = &self.drain {
            wake_at = wake_at.min(drain.deadline);
        }
        if self.trip.is_none() {
            if self.leases.has_due() {
                wake_at = wake_at.min(self.not_before);
            }
            if let Some(at) = self.settle_at() {
                wake_at = wake_at.min(at);
            }
            if self.may_claim() {
                wake_at = wake_at.min(self.claim_at.max(self.not_before));
            }
        }
        wake_at
    }

    /// When something can be settled.
    fn settle_at(&self) -> Option<Instant> {
        let soonest = self.finished.iter().map(|one| one.settle_at).min()?;
        Some(soonest.map_or(self.not_before, |at| at.max(self.not_before)))
    }

    /// Begins a round trip if there is a reason for one. A trip always claims
    /// what could start.
    fn depart(&mut self) {
        let now = Instant::now();
        if self.trip.is_some() || now < self.not_before {
            return;
        }
        let extends = self.leases.take_due();
        let claim_now = self.may_claim() && now >= self.claim_at;
        let settles = self.finished.iter().any(|one| one.may_settle(now));
        if !settles && extends.is_empty() && !claim_now {
            self.ask();
            return;
        }
        let wants = if self.may_claim() {
            self.claim_at = now + self.options.poll;
            self.question = None;
            self.lanes.wants(self.budget())
        } else {
            Vec::new()
        };
        if !settles && extends.is_empty() && wants.is_empty() {
            return;
        }
        let finished = self
            .finished
            .extract_if(.., |one| one.may_settle(now))
            .collect();
        match Trip::depart(&self.committer, &self.options, finished, extends, wants) {
            Ok(trip) => self.trip = Some(trip),
            Err((finished, error)) => {
                self.finished.splice(0..0, finished);
                self.failed(&error);
            }
        }
    }

    fn budget(&self) -> usize {
        self.options.concurrency.saturating_sub(self.leases.len())
    }

    /// Asks when there is something for the free slots, once after a claim
    /// that left some free.
    fn ask(&mut self) {
        if self.idle && self.question.is_none() && self.may_claim() {
            self.idle = false;
            // Of all, not of those whose turn it is: a handler may be the only one with jobs.
            let wants = self.lanes.open(self.budget());
            if !wants.is_empty() {
                self.question = Some(ask_due(Arc::clone(&self.inbox), wants));
            }
        }
    }

    fn will_be_due(&mut self, answer: Result<Option<Duration>, InboxError>) {
        self.question = None;
        match answer {
            Ok(Some(delay)) if delay < self.options.poll => {
                let at = Instant::now() + delay.max(SOONEST);
                self.claim_at = self.claim_at.min(at);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the inbox did not say when a job is due"),
        }
    }

    fn arrived(&mut self, answer: Result<Worked, InboxError>) {
        let Some(trip) = self.trip.take() else { return };
        let worked = match answer {
            Ok(worked) => worked,
            Err(error) => {
                let now = Instant::now();
                self.failed(&error);
                for id in trip.extends {
                    self.leases.not_extended(id, now, self.not_before - now);
                }
                self.finished.splice(0..0, trip.finished);
                return;
            }
        };
        self.failures = 0;
        let short = trip.is_short(worked.claimed.len());
        let claimed = !trip.wants.is_empty();
        for (finished, result) in trip.finished.into_iter().zip(worked.settles) {
            self.settled(finished, result);
        }
        for (id, held) in trip.extends.into_iter().zip(worked.extends) {
            self.leases.extended(id, held, trip.asked);
        }
        let nothing = worked.claimed.is_empty();
        for leased in worked.claimed {
            self.start(leased, trip.asked);
        }
        if claimed {
            self.idle = short;
            if !nothing && self.budget() > 0 {
                // a handler may have been given less than its free slots
                self.claim_at = Instant::now();
            }
            let empty = nothing && self.leases.is_empty() && self.finished.is_empty();
            if let Some(drain) = self.drain.as_mut().filter(|_| empty) {
                drain.claiming = false;
            }
        }
    }

    fn settled(&mut self, finished: Finished, result: SettleResult) {
        match result {
            SettleResult::Busy => self.finished.push(finished.later()),
            SettleResult::LeaseLost => finished.lost(),
            SettleResult::Refused(_) => self.finished.extend(finished.reworded()),
            SettleResult::Settled => {
                if let Some(drain) = &mut self.drain {
                    match finished.verdict {
                        Some(_) => drain.report.finished += 1,
                        None => drain.report.released += 1,
                    }
                }
                finished.settled(&self.hooks);
            }
            SettleResult::WorkRefused(reason) => {
                let error = HandlerError::msg(refused(&reason));
                let verdict = Verdict::new(
                    Ended::Finished(Outcome::failed(error)),
                    finished.leased.attempt,
                    &finished.lane.route.info.settings,
                );
                self.finished.push(Finished {
                    verdict: Some(verdict),
                    ..finished
                });
            }
        }
    }

    fn start(&mut self, leased: Leased, asked: Instant) {
        let place = self.lanes.find(&leased.event.endpoint, &leased.handler);
        let Some((place, lane)) = place.and_then(|at| Some((at, Arc::clone(self.lanes.at(at)?))))
        else {
            // its lease ends, and a worker that has the handler takes it
            tracing::warn!(handler = %leased.handler, "the inbox gave a job that was not asked for");
            return;
        };
        if self.has(&leased, asked) {
            return;
        }
        if !self.may_claim() {
            let unused = Finished::new(lane, leased, Duration::ZERO, None);
            self.finished.push(unused);
            return;
        }
        let exhausted = leased.attempt > lane.route.info.settings.retry.limit();
        let span = tracing::info_span!(
            "webhook_attempt",
            endpoint = %lane.endpoint,
            handler = %lane.handler(),
            event_type = leased.event.event_type.as_deref(),
            event_id = %event_id(&leased.event),
            attempt = leased.attempt,
        );
        let transaction = Transaction::of(Arc::clone(&self.inbox));
        let task = {
            let (lane, leased) = (Arc::clone(&lane), leased.clone());
            let (inbox, transaction) = (Arc::clone(&self.inbox), transaction.clone());
            let extensions = self.options.extensions.clone();
            async move {
                if exhausted {
                    return attempt::exhausted(&leased, &*inbox).await;
                }
                attempt::run(&lane, &leased, extensions, &*inbox, transaction).await
            }
        };
        let abort = self.tasks.spawn(task.instrument(span));
        self.lanes.started(place);
        let id = abort.id();
        let running = Running::new(place, lane, leased, abort, transaction, asked);
        self.leases.insert(id, running);
    }

    /// Whether this worker runs the job already, or has its verdict. The inbox's clock
    /// ran ahead of ours, and its lease seemed to be over: what is under way goes on
    /// under the new one, and nothing runs twice.
    fn has(&mut self, leased: &Leased, asked: Instant) -> bool {
        let key = leased.key();
        let mut finished = self.finished.iter_mut();
        let has = match finished.find(|finished| finished.leased.key() == key) {
            Some(finished) => {
                finished.leased = leased.clone();
                true
            }
            None => self.leases.take_over(leased, asked),
        };
        if has {
            tracing::warn!(
                handler = %leased.handler,
                "the inbox gave a job that this worker still has: its lease ended, or a clock was set forward"
            );
        }
        has
    }

    /// Takes note of a task that ended, and of all others that have.
    fn ended(&mut self, first: Result<(Id, Ended), JoinError>) {
        let mut next = Some(first);
        while let Some(ended) = next {
            self.note(ended);
            next = self.tasks.try_join_next_with_id();
        }
    }

    fn note(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Some(ended)),
            Err(error) => (error.id(), panicked(error)),
        };
        let Some(running) = self.leases.remove(id) else {
            return;
        };
        self.lanes.ended(running.place);
        let elapsed = running.started.elapsed();
        running.lane.meters.seconds.record(elapsed.as_secs_f64());
        if running.lost {
            running.lane.meters.attempt(Label::Lost);
            return;
        }
        let settled = match &ended {
            Some(Ended::Committed) => Some(SettleResult::Settled),
            Some(Ended::LeaseLost) => Some(SettleResult::LeaseLost),
            _ => None,
        };
        let settings = &running.lane.route.info.settings;
        let verdict = ended.map(|ended| Verdict::new(ended, running.leased.attempt, settings));
        let finished = Finished::new(running.lane, running.leased, elapsed, verdict);
        match settled {
            // It went by itself, so no trip need carry it; but there is a slot free.
            Some(result) => {
                self.claim_at = Instant::now();
                self.settled(finished, result);
            }
            None => self.finished.push(finished),
        }
    }

    fn failed(&mut self, error: &InboxError) {
        self.closed = error.kind() == InboxErrorKind::Closed;
        let (first, last) = BACKOFF;
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now() + first.saturating_mul(factor).min(last);
        tracing::warn!(%error, failures = self.failures, "the worker cannot reach the inbox");
    }

    /// Stops what still runs and gives it back.
    async fn finish(mut self, orders: &mut mpsc::Receiver<Order>) {
        let limit = Instant::now() + GRACE;
        orders.close();
        if let Some(drain) = &mut self.drain {
            drain.claiming = false;
        }
        self.tasks.abort_all();
        while let Ok(Some(ended)) = timeout_at(limit, self.tasks.join_next_with_id()).await {
            self.note(ended);
        }
        while !self.closed && (self.trip.is_some() || !self.finished.is_empty()) {
            self.depart();
            let next = async {
                match self.trip {
                    Some(_) => Some(arrival(&mut self.trip).await),
                    None => {
                        sleep_until(self.settle_at().unwrap_or(self.not_before)).await;
                        None
                    }
                }
            };
            match timeout_at(limit, next).await {
                Ok(Some(answer)) => self.arrived(answer),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        let mut report = self
            .drain
            .as_ref()
            .map(|drain| drain.report)
            .unwrap_or_default();
        report.dropped = self.left_behind(limit).await;
        let waiting = self.drain.into_iter().flat_map(|drain| drain.waiting);
        while let Ok(Order::Drain { report, .. }) = orders.try_recv() {
            let _ = report.send(DrainReport::default());
        }
        for (place, waiter) in waiting.enumerate() {
            // the first caller gets the figures; nobody may be left to hear them
            let _ = waiter.send(if place == 0 {
                report
            } else {
                DrainReport::default()
            });
        }
    }

    /// The jobs that an inbox which is not durable takes along.
    async fn left_behind(&mut self, limit: Instant) -> u64 {
        if self.durable {
            return 0;
        }
        match timeout_at(limit, self.inbox.stats()).await {
            Ok(Ok(stats)) => stats.jobs(JobState::Pending) + stats.jobs(JobState::Running),
            Ok(Err(_)) | Err(_) => 0,
        }
    }
}

/// How a task ended that returned nothing: by panic, or stopped (`None`).
fn panicked(error: JoinError) -> Option<Ended> {
    let payload = error.try_into_panic().ok()?;
    Some(Ended::Panicked(panic_text(&*payload)))
}
