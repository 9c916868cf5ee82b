//! A handler that is taken out.

use std::time::Duration;

use super::events::State;
use crate::{EventSeq, EventState, JobState, Retire, Retired};

impl State {
    pub(super) fn retire(&mut self, what: &Retire, max_jobs: usize, now: Duration) -> Retired {
        let mut retired = Retired::default();
        let queues = self.queues.get_mut(&what.endpoint);
        let Some(queue) = queues.and_then(|queues| queues.get_mut(&what.handler)) else {
            return retired;
        };
        let unasked = queue.asked_at.map(|at| now.saturating_sub(at));
        if queue.registration.is_some() && what.refuses(unasked) {
            retired.asked = unasked;
            return retired;
        }
        retired.registered = queue.registration.take().is_some();
        let mut seqs: Vec<EventSeq> = self
            .events
            .iter()
            .filter(|(_, entry)| entry.event.endpoint == what.endpoint)
            .filter(|(_, entry)| {
                let mut jobs = entry.jobs.iter();
                jobs.any(|job| job.handler == what.handler && job.state() != JobState::Done)
            })
            .map(|(seq, _)| *seq)
            .take(max_jobs.saturating_add(1))
            .collect();
        retired.more = seqs.len() > max_jobs;
        seqs.truncate(max_jobs);
        for seq in seqs {
            self.drop_job(seq, what, now);
            retired.jobs += 1;
            let left = self.events.get(&seq).is_some_and(|entry| {
                let decides = entry.event.reply.is_some() || entry.is_undecided();
                entry.jobs.is_empty() && !decides && entry.event.state == EventState::Routed
            });
            if left {
                self.set_state(seq, EventState::Unhandled);
                retired.unhandled += 1;
            }
            self.account(seq);
        }
        if !retired.more
            && let Some(queues) = self.queues.get_mut(&what.endpoint)
        {
            // One that has a history is still counted.
            queues.retain(|name, queue| *name != what.handler || queue.done > 0);
        }
        retired
    }

    fn drop_job(&mut self, seq: EventSeq, what: &Retire, now: Duration) {
        let Some(entry) = self.events.get_mut(&seq) else {
            return;
        };
        let place = entry
            .jobs
            .iter()
            .position(|job| job.handler == what.handler);
        let queues = self.queues.get_mut(&what.endpoint);
        let queue = queues.and_then(|queues| queues.get_mut(&what.handler));
        if let (Some(place), Some(queue)) = (place, queue) {
            let mut job = entry.jobs.remove(place);
            let next = queue.leave_line(seq, &mut job);
            queue.forget(seq, &job);
            self.call(next, &what.handler, now);
        }
    }
}
