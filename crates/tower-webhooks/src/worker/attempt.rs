//! One run of one handler, and what follows from how it ended.

use std::{any::Any, time::Duration};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use tokio::time::timeout;
use tower_webhooks_core::{Delivery, Restored, Text};
use tower_webhooks_inbox::{Inbox, Leased, Settle, SettleResult, Settlement, StoredEvent, Work};

use super::{lanes::Lane, meters::Label};
use crate::{
    Attempt, Completion, HandlerError, Job, Lease, Outcome, job::Parts, router::HandlerSettings,
    transaction::Transaction,
};

/// Beside the handler's own time: a commit that is slower is broken.
const COMMIT_LIMIT: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The handler's transaction is committed, and its job's completion with it; or
    /// the handler has committed both itself.
    Committed,
    /// It did not run, since no attempt is left; why the last one failed that said so.
    Exhausted(Option<Text>),
    Finished(Outcome),
    /// The inbox rolled the handler's transaction back: another worker has the job.
    LeaseLost,
    Panicked(String),
    TimedOut,
}

/// What becomes of the job.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) settlement: Settlement,
    pub(super) work: Option<Work>,
    pub(super) label: Label,
}

/// Runs the handler once. Everything that a hostile or huge payload can make
/// slow happens here, inside the handler's own task and time.
pub(super) async fn run(
    lane: &Lane,
    leased: &Leased,
    extensions: Extensions,
    inbox: &dyn Inbox,
    transaction: Transaction,
) -> Ended {
    let settings = &lane.route.info.settings;
    let attempt = async {
        let Some(delivery) = restore(lane, &leased.event) else {
            return Outcome::failed(HandlerError::permanent(
                "the event's body is no longer in the inbox",
            ));
        };
        if delivery.content().is_none()
            && let Err(reason) = delivery.event()
        {
            // The next attempt would have the same keys.
            return Outcome::failed(HandlerError::permanent(reason));
        }
        let job = Job::new(Parts {
            delivery,
            endpoint: lane.endpoint.clone(),
            handler: lane.handler().clone(),
            event_id: event_id(&leased.event),
            attempt: Attempt::new(leased.attempt, settings.retry.limit()),
            extensions,
            lease: Some(Lease::new(leased.event.seq, leased.token)),
            transaction: transaction.clone(),
        });
        lane.route.call(job).await
    };
    match timeout(settings.timeout, attempt).await {
        Ok(Outcome(Ok(completion))) => match transaction.take_to_commit() {
            Some(written) => commit(inbox, leased, completion, written).await,
            None if completion.is_by_statement() => Ended::Committed,
            None => Ended::Finished(completion.into()),
        },
        Ok(outcome) => Ended::Finished(outcome),
        Err(_) => Ended::TimedOut,
    }
}

/// In place of a run for which no attempt is left: the limit was lowered, or each
/// took its process, or its worker's lease, with it.
pub(super) async fn exhausted(leased: &Leased, inbox: &dyn Inbox) -> Ended {
    let record = inbox.get(leased.event.seq).await.ok().flatten();
    let jobs = record.map(|record| record.jobs).unwrap_or_default();
    let job = jobs.into_iter().find(|job| job.handler == leased.handler);
    Ended::Exhausted(job.and_then(|job| job.last_error))
}

/// Commits what the handler wrote in the inbox's transaction. Where it remains
/// unknown whether that was done, the job is tried again; if it was, the inbox
/// knows by the token.
async fn commit(
    inbox: &dyn Inbox,
    leased: &Leased,
    completion: Completion,
    written: Work,
) -> Ended {
    let failed = |error| Ended::Finished(Outcome::failed(error));
    if written.is_taken() {
        return failed(HandlerError::msg(
            "the handler returned while its transaction was still in use",
        ));
    }
    if completion.is_by_statement() || completion.into_work().is_some() {
        return failed(HandlerError::permanent(
            "a handler commits either a transaction or other work, not both",
        ));
    }
    let settle = Settle {
        key: leased.key(),
        token: leased.token,
        outcome: Settlement::Done,
        work: Some(written),
    };
    match timeout(COMMIT_LIMIT, inbox.settle_apart(settle)).await {
        Ok(Ok(SettleResult::Settled)) => Ended::Committed,
        Ok(Ok(SettleResult::LeaseLost)) => Ended::LeaseLost,
        Ok(Ok(SettleResult::Busy)) => failed(HandlerError::msg("the job is in use")),
        Ok(Ok(SettleResult::Refused(reason) | SettleResult::WorkRefused(reason))) => {
            failed(HandlerError::msg(refused(&reason)))
        }
        Ok(Err(error)) => failed(error.into()),
        Err(_) => failed(HandlerError::msg(format_args!(
            "the inbox took longer than {COMMIT_LIMIT:?} to commit"
        ))),
    }
}

/// Words for a refusal of work.
pub(super) fn refused(reason: &Text) -> String {
    format!("the inbox did not commit the handler's work: {reason}")
}

/// The provider's id, or what the inbox knows the event by. An id that is not
/// signed may be another event's too: whoever remembers by it what was done would
/// then leave this one out.
pub(super) fn event_id(event: &StoredEvent) -> Text {
    let id = event.id.as_ref();
    id.filter(|id| event.id_signed || event.key == **id)
        .unwrap_or(&event.key)
        .clone()
}

fn restore(lane: &Lane, event: &StoredEvent) -> Option<Delivery> {
    let mut restored = Restored::new(event.body.clone()?, event.received_at);
    restored.tenant.clone_from(&event.tenant);
    restored.secret_label.clone_from(&event.secret_label);
    restored.headers = headers(event);
    let provider = lane.provider.clone();
    Some(match &lane.opener {
        Some(opener) => Delivery::insecure_restore_sealed(provider, restored, opener),
        None => Delivery::insecure_restore(provider, restored),
    })
}

/// The headers that were kept. They were headers once, so none is left out.
fn headers(event: &StoredEvent) -> HeaderMap {
    let pairs = event.headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(value.clone()).ok()?;
        Some((name, value))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

/// What a panic said.
pub(super) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    HandlerError::msg(format_args!(
        "the handler panicked: {}",
        text.unwrap_or("no message")
    ))
    .chain()
}

impl Verdict {
    /// What follows from how attempt `number` ended.
    pub(super) fn new(ended: Ended, number: u32, settings: &HandlerSettings) -> Self {
        let later = |delay: Option<Duration>, error: String, label: Label| {
            let error = Text::from(error);
            let settlement = match settings.retry.delay_after(number) {
                Some(after) => Settlement::Retry {
                    after: delay.unwrap_or(after),
                    error,
                },
                None => Settlement::Dead { error },
            };
            Self {
                label: match (&settlement, label) {
                    (Settlement::Dead { .. }, Label::Retry) => Label::Dead,
                    _ => label,
                },
                settlement,
                work: None,
            }
        };
        match ended {
            Ended::Committed | Ended::LeaseLost => Self {
                settlement: Settlement::Done,
                work: None,
                label: Label::Done,
            },
            Ended::Exhausted(last_error) => Self::dead(last_words(number, last_error)),
            Ended::Finished(Outcome(Ok(completion))) => Self {
                settlement: Settlement::Done,
                work: completion.into_work(),
                label: Label::Done,
            },
            Ended::Finished(Outcome(Err(error))) if error.is_permanent() => {
                Self::dead(error.chain())
            }
            Ended::Finished(Outcome(Err(error))) => {
                later(error.delay(), error.chain(), Label::Retry)
            }
            Ended::Panicked(text) => later(None, text, Label::Panic),
            Ended::TimedOut => {
                let text = format!("the handler took longer than {:?}", settings.timeout);
                later(None, text, Label::Timeout)
            }
        }
    }

    fn dead(error: String) -> Self {
        Self {
            settlement: Settlement::Dead {
                error: Text::from(error),
            },
            work: None,
            label: Label::Dead,
        }
    }
}

/// What a job that may not begin attempt `number` died of.
fn last_words(number: u32, last_error: Option<Text>) -> String {
    let before = number.saturating_sub(1);
    match last_error {
        Some(error) => format!("no attempt is left after {before}; the last error: {error}"),
        None => format!("attempt {before} ended without a result, and no attempt is left"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::Retry;

    fn settings(max_attempts: u32) -> HandlerSettings {
        let max_attempts = NonZeroU32::new(max_attempts).unwrap();
        HandlerSettings {
            retry: Retry::fixed(Duration::from_secs(7)).max_attempts(max_attempts),
            ..HandlerSettings::default()
        }
    }

    fn failed(error: HandlerError) -> Ended {
        Ended::Finished(Outcome::failed(error))
    }

    #[test]
    fn a_failure_is_tried_again_until_the_attempts_run_out() {
        let verdict = Verdict::new(failed(HandlerError::msg("no")), 2, &settings(3));
        let (after, error) = (Duration::from_secs(7), Text::from("no"));
        assert_eq!(verdict.settlement, Settlement::Retry { after, error });
        assert_eq!(verdict.label, Label::Retry);

        let verdict = Verdict::new(failed(HandlerError::msg("no")), 3, &settings(3));
        let error = Text::from("no");
        assert_eq!(verdict.settlement, Settlement::Dead { error });
        assert_eq!(verdict.label, Label::Dead);
    }

    #[test]
    fn the_handlers_own_delay_wins_but_adds_no_attempt() {
        let soon = Duration::from_millis(3);
        let error = || HandlerError::retry_after(soon, "busy");
        let verdict = Verdict::new(failed(error()), 1, &settings(2));
        let text = Text::from("busy");
        assert_eq!(
            verdict.settlement,
            Settlement::Retry {
                after: soon,
                error: text.clone()
            }
        );
        let verdict = Verdict::new(failed(error()), 2, &settings(2));
        assert_eq!(verdict.settlement, Settlement::Dead { error: text });
    }

    #[test]
    fn permanent_is_dead_at_the_first_attempt() {
        let verdict = Verdict::new(failed(HandlerError::permanent("never")), 1, &settings(25));
        let error = Text::from("never");
        assert_eq!(verdict.settlement, Settlement::Dead { error });
        assert_eq!(verdict.label, Label::Dead);
    }

    #[test]
    fn panics_and_time_outs_are_tried_again_and_keep_their_label_when_last() {
        for (number, retried) in [(1, true), (2, false)] {
            let panicked = Verdict::new(Ended::Panicked("boom".into()), number, &settings(2));
            assert_eq!(panicked.label, Label::Panic);
            let timed_out = Verdict::new(Ended::TimedOut, number, &settings(2));
            assert_eq!(timed_out.label, Label::Timeout);
            for settlement in [panicked.settlement, timed_out.settlement] {
                let is_retry = matches!(settlement, Settlement::Retry { .. });
                assert_eq!(is_retry, retried, "{settlement:?}");
            }
        }
    }
}
