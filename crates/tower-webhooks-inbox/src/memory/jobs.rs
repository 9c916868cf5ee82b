//! Jobs: claimed, extended, settled.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tower_webhooks_core::Text;

use super::{
    events::State,
    queue::{Job, Queue},
};
use crate::{
    Claim, EventSeq, Extend, JobKey, JobState, Leased, Settle, SettleResult, Settlement, Want,
    put_off,
};

impl State {
    pub(super) fn claim(&mut self, claim: &Claim, now: Duration) -> Vec<Leased> {
        // A lease of nothing would be over before the claim is.
        let lease = claim.lease.max(Duration::from_nanos(1));
        let mut claimed = Vec::new();
        for want in &claim.wants {
            if let Some(queue) = self.queue(want) {
                queue.asked_at = Some(now);
            }
            for _ in 0..want.free {
                let Some((_, seq)) = self
                    .queue(want)
                    .and_then(|queue| queue.next())
                    .filter(|(at, _)| *at <= now)
                else {
                    break;
                };
                if !self.put_off(seq, want, now) {
                    claimed.extend(self.lease(seq, want, &claim.worker, lease, now));
                }
            }
        }
        claimed
    }

    /// Whether the job was cut short, not for the first time, and is due later now.
    fn put_off(&mut self, seq: EventSeq, want: &Want, now: Duration) -> bool {
        let Some(entry) = self.events.get_mut(&seq) else {
            return false;
        };
        let queue = find_queue(&mut self.queues, &want.endpoint, &want.handler);
        let job = find_job(&mut entry.jobs, &want.handler);
        let (Some(queue), Some(job)) = (queue, job) else {
            return false;
        };
        let cut_short = job.state() == JobState::Running;
        let Some(most) = put_off(job.attempts).filter(|_| cut_short) else {
            return false;
        };
        let part = RandomState::new().hash_one(seq.0) as f64 / u64::MAX as f64;
        let at = now.saturating_add(most.mul_f64(part));
        // It keeps the turn, so nobody else is called.
        let _ = queue.put(seq, job, JobState::Pending, at);
        true
    }

    fn lease(
        &mut self,
        seq: EventSeq,
        want: &Want,
        worker: &Text,
        lease: Duration,
        now: Duration,
    ) -> Option<Leased> {
        let token = self.token();
        let entry = self.events.get_mut(&seq)?;
        let queue = find_queue(&mut self.queues, &want.endpoint, &want.handler)?;
        let job = find_job(&mut entry.jobs, &want.handler)?;
        // It has the turn, so nobody else is called.
        let _ = queue.put(seq, job, JobState::Running, now.saturating_add(lease));
        job.attempts = job.attempts.saturating_add(1);
        job.token = token;
        job.worker = Some(worker.clone());
        Some(Leased {
            event: entry.event.clone(),
            handler: job.handler.clone(),
            attempt: job.attempts,
            token,
            lease,
        })
    }

    pub(super) fn extend(&mut self, extend: &Extend, now: Duration) -> bool {
        let Some((queue, job)) = self.held(&extend.key, extend.token) else {
            return false;
        };
        let end = now.saturating_add(extend.by);
        // It has the turn, so nobody else is called.
        let _ = queue.put(extend.key.seq, job, JobState::Running, end);
        true
    }

    pub(super) fn settle(&mut self, settle: Settle, now: Duration) -> SettleResult {
        let seq = settle.key.seq;
        let Some((queue, job)) = self.held(&settle.key, settle.token) else {
            return SettleResult::LeaseLost;
        };
        if settle.work.is_some() {
            return SettleResult::WorkRefused(Text::from_static(
                "an inbox in memory has no transaction for work to join",
            ));
        }
        let next = match settle.outcome {
            Settlement::Dead { error } => {
                job.last_error = Some(error);
                queue.put(seq, job, JobState::Dead, now)
            }
            Settlement::Done => queue.put(seq, job, JobState::Done, now),
            Settlement::Release => {
                job.attempts = job.attempts.saturating_sub(1);
                queue.put(seq, job, JobState::Pending, now)
            }
            Settlement::Retry { after, error } => {
                job.last_error = Some(error);
                queue.put(seq, job, JobState::Pending, now.saturating_add(after))
            }
        };
        if job.is_finished() {
            self.account(seq);
        }
        self.call(next, &settle.key.handler, now);
        SettleResult::Settled
    }

    /// Tells the next job of a line that it is its turn.
    pub(super) fn call(&mut self, next: Option<EventSeq>, handler: &Text, now: Duration) {
        if let Some(seq) = next
            && let Some(entry) = self.events.get_mut(&seq)
            && let Some(queue) = find_queue(&mut self.queues, &entry.event.endpoint, handler)
            && let Some(job) = find_job(&mut entry.jobs, handler)
        {
            queue.call(seq, job, now);
        }
    }

    pub(super) fn next_due(&self, wants: &[Want], now: Duration) -> Option<Duration> {
        wants
            .iter()
            .filter(|want| want.free > 0)
            .filter_map(|want| self.queues.get(&want.endpoint)?.get(&want.handler)?.next())
            .map(|(at, _)| at.saturating_sub(now))
            .min()
    }

    pub(super) fn unfinished_jobs(&self) -> usize {
        self.queues
            .values()
            .flat_map(BTreeMap::values)
            .map(|queue| queue.pending() + queue.running())
            .sum()
    }

    fn queue(&mut self, want: &Want) -> Option<&mut Queue> {
        find_queue(&mut self.queues, &want.endpoint, &want.handler)
    }

    /// The job, if this token is its current one.
    fn held(&mut self, key: &JobKey, token: u64) -> Option<(&mut Queue, &mut Job)> {
        let entry = self.events.get_mut(&key.seq)?;
        let queue = find_queue(&mut self.queues, &entry.event.endpoint, &key.handler)?;
        let job = find_job(&mut entry.jobs, &key.handler)?;
        (job.state() == JobState::Running && job.token == token).then_some((queue, job))
    }
}

type Queues = std::collections::HashMap<Text, BTreeMap<Text, Queue>>;

fn find_queue<'a>(queues: &'a mut Queues, endpoint: &str, handler: &str) -> Option<&'a mut Queue> {
    queues.get_mut(endpoint)?.get_mut(handler)
}

fn find_job<'a>(jobs: &'a mut [Job], handler: &str) -> Option<&'a mut Job> {
    jobs.iter_mut().find(|job| job.handler == *handler)
}
