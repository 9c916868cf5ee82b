//! One round trip to the committer: what ended, what is to be extended, and
//! what could start.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{task::Id, time::Instant};
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    BoxFuture, Claim, Committer, Extend, Inbox, InboxError, Leased, Pending, Settle, Settlement,
    Want, Worked,
};

use super::{
    Options,
    attempt::{Ended, Verdict},
    hooks::{self, DeadJob, DoneJob, Hooks},
    lanes::Lane,
    meters::Label,
};
use crate::{HandlerError, Outcome};

/// A job whose end is not in the inbox yet.
pub(super) struct Finished {
    pub(super) lane: Arc<Lane>,
    pub(super) leased: Leased,
    pub(super) elapsed: Duration,
    /// `None` gives the job back.
    pub(super) verdict: Option<Verdict>,
    /// The inbox could not store the verdict before this one.
    pub(super) refused: bool,
    /// How often the job was in use, and when to settle it again.
    pub(super) busy: u32,
    pub(super) settle_at: Option<Instant>,
}

impl Finished {
    pub(super) fn new(
        lane: Arc<Lane>,
        leased: Leased,
        elapsed: Duration,
        verdict: Option<Verdict>,
    ) -> Self {
        Self {
            lane,
            leased,
            elapsed,
            verdict,
            refused: false,
            busy: 0,
            settle_at: None,
        }
    }

    fn settle(&self) -> Settle {
        let verdict = self.verdict.as_ref();
        Settle {
            key: self.leased.key(),
            token: self.leased.token,
            outcome: verdict.map_or(Settlement::Release, |it| it.settlement.clone()),
            work: verdict.and_then(|it| it.work.clone()),
        }
    }

    /// Whether it may go with the next trip.
    pub(super) fn may_settle(&self, now: Instant) -> bool {
        self.settle_at.is_none_or(|at| at <= now)
    }

    /// The job is in use by a transaction that has not ended.
    pub(super) fn later(self) -> Self {
        tracing::debug!(
            handler = %self.lane.handler(),
            seq = %self.leased.event.seq,
            "a job is in use, and is settled later"
        );
        let (first, last) = BUSY;
        let wait = first.saturating_mul(2_u32.saturating_pow(self.busy));
        Self {
            busy: self.busy.saturating_add(1),
            settle_at: Some(Instant::now() + wait.min(last)),
            ..self
        }
    }

    /// The end is in the inbox: counts it and tells whom it concerns.
    pub(super) fn settled(self, hooks: &Hooks) {
        let Some(verdict) = &self.verdict else {
            return;
        };
        self.lane.meters.attempt(verdict.label);
        match &verdict.settlement {
            Settlement::Dead { error } => {
                self.lane.meters.dead.increment(1);
                self.warn(error, "a job is dead");
                hooks::call(&hooks.dead, || DeadJob::new(&self, error.clone()));
            }
            Settlement::Done => hooks::call(&hooks.done, || DoneJob::new(&self)),
            Settlement::Retry { error, .. } => self.warn(error, "a handler failed"),
            Settlement::Release => {}
        }
    }

    /// The same end in words that every inbox can keep, once the inbox has refused
    /// the handler's. `None` if it refuses those too: the lease ends by itself then.
    pub(super) fn reworded(self) -> Option<Self> {
        let verdict = self.verdict.filter(|_| !self.refused)?;
        let error = Text::from_static("the inbox could not store how the attempt ended");
        let again = |settlement| Verdict {
            settlement,
            work: None,
            label: verdict.label,
        };
        let verdict = match verdict.settlement {
            Settlement::Dead { .. } => again(Settlement::Dead { error }),
            Settlement::Retry { after, .. } => again(Settlement::Retry { after, error }),
            Settlement::Done | Settlement::Release => Verdict::new(
                Ended::Finished(Outcome::failed(HandlerError::msg(error))),
                self.leased.attempt,
                &self.lane.route.info.settings,
            ),
        };
        Some(Self {
            verdict: Some(verdict),
            refused: true,
            ..self
        })
    }

    /// The job is another worker's by now.
    pub(super) fn lost(self) {
        if self.verdict.is_some() {
            self.lane.meters.attempt(Label::Lost);
            self.warn("", "a handler ended after its lease: the job runs again");
        }
    }

    fn warn(&self, error: &str, message: &'static str) {
        tracing::warn!(
            endpoint = %self.lane.endpoint,
            handler = %self.lane.handler(),
            seq = %self.leased.event.seq,
            attempt = self.leased.attempt,
            error,
            message,
        );
    }
}

/// How long a job that is in use is left alone, doubled from the first to the last: what uses
/// it is another worker's claim, for milliseconds, or a commit that hangs, for minutes.
const BUSY: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(256));

/// A request to the committer that is not answered yet.
pub(super) struct Trip {
    pub(super) finished: Vec<Finished>,
    pub(super) extends: Vec<Id>,
    pub(super) wants: Vec<Want>,
    pub(super) asked: Instant,
    answer: Pending<Worked>,
}

impl Trip {
    /// Hands the request over.
    ///
    /// On an error what ended is given back with it.
    pub(super) fn depart(
        committer: &Committer,
        options: &Options,
        finished: Vec<Finished>,
        extends: Vec<(Id, Extend)>,
        wants: Vec<Want>,
    ) -> Result<Self, (Vec<Finished>, InboxError)> {
        let (extended, extends): (Vec<_>, Vec<_>) = extends.into_iter().unzip();
        let claim = (!wants.is_empty()).then(|| Claim {
            worker: options.name.clone(),
            wants: wants.clone(),
            lease: options.lease,
        });
        let settles = finished.iter().map(Finished::settle).collect();
        match committer.work(settles, extends, claim) {
            Ok(answer) => Ok(Self {
                finished,
                extends: extended,
                wants,
                asked: Instant::now(),
                answer,
            }),
            Err(error) => Err((finished, error)),
        }
    }

    /// Whether the claim was for more than was given.
    pub(super) fn is_short(&self, claimed: usize) -> bool {
        self.wants.iter().map(|want| want.free).sum::<usize>() > claimed
    }
}

/// Waits for a trip's answer; for ever where there is none.
pub(super) async fn arrival(trip: &mut Option<Trip>) -> Result<Worked, InboxError> {
    match trip {
        Some(trip) => (&mut trip.answer).await,
        None => pending().await,
    }
}

/// The question when a job is due next.
pub(super) type DueQuestion = BoxFuture<'static, Result<Option<Duration>, InboxError>>;

pub(super) fn ask_due(inbox: Arc<dyn Inbox>, wants: Vec<Want>) -> DueQuestion {
    Box::pin(async move { inbox.next_due(&wants).await })
}

/// Waits for the answer; for ever where nothing was asked.
pub(super) async fn due(
    question: &mut Option<DueQuestion>,
) -> Result<Option<Duration>, InboxError> {
    match question {
        Some(question) => question.await,
        None => pending().await,
    }
}
