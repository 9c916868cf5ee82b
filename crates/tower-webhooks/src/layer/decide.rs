//! Answers that a reply handler decides, once for each event.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderMap;
use tokio::{sync::oneshot, time::timeout};
use tower_webhooks_core::{Delivery, RejectionKind, Text};
use tower_webhooks_inbox::{DecidedBy, RecordReply, Recorded, Reply, Reserve, Reserved, body_key};
use tracing::Instrument as _;

use super::{
    budget::BytePermit,
    gate::Gate,
    intake::{Intake, refused},
    receive::Received,
};
use crate::{
    Job,
    job::{Attempt, Parts},
    router::ReplyRoute,
    transaction::Transaction,
};

/// What a reply handler has where neither it nor its provider says: the
/// shortest deadline that a provider with such events documents.
const DEFAULT_BUDGET: Duration = Duration::from_secs(1);

/// How soon another delivery's decision is looked for again when nothing says
/// that there is one: it may be made by another process.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// One delivery that wants a decision.
pub(super) struct Decision {
    gate: Arc<Gate>,
    intake: Arc<Intake>,
    route: ReplyRoute,
    delivery: Delivery,
    headers: HeaderMap,
    permit: Arc<BytePermit>,
}

impl Decision {
    pub(super) fn new(
        gate: &Arc<Gate>,
        intake: &Arc<Intake>,
        route: ReplyRoute,
        received: Received,
    ) -> Self {
        Self {
            gate: Arc::clone(gate),
            intake: Arc::clone(intake),
            route,
            delivery: received.delivery,
            headers: received.parts.headers,
            permit: Arc::new(received.permit),
        }
    }

    /// Decides in a task of its own, so that a client that hangs up changes
    /// nothing.
    pub(super) fn spawn(self) -> oneshot::Receiver<Result<Reply, RejectionKind>> {
        let (answer, waiting) = oneshot::channel();
        let span = tracing::info_span!(
            "webhook_reply",
            endpoint = %self.gate.name,
            handler = %self.route.info.text,
        );
        let decide = async move {
            let budget = self.budget();
            // Until the answer: the body is held for the handler, and a drain waits for
            // the decision, not only for its event.
            let _inside = Arc::clone(&self.permit);
            // Later, the sender has given up. Another answer than the recorded
            // one would be worse than none.
            let decided = timeout(budget, self.decide(budget)).await;
            // Nobody may be waiting any more; the reply is recorded.
            let _ = answer.send(decided.unwrap_or(Err(RejectionKind::InboxUnavailable)));
        };
        tokio::spawn(decide.instrument(span));
        waiting
    }

    async fn decide(self, budget: Duration) -> Result<Reply, RejectionKind> {
        let started = Instant::now();
        let intake = &self.intake;
        let mut event = intake.event(&self.delivery, &self.headers);
        // Once, not at every look.
        event.hash_body();
        let mut look_again = LOOK_AGAIN;
        let mut permit = Some(self.permit);
        let mut counted = false;
        loop {
            let decided = intake.decided.notified();
            let reserve = Reserve {
                event: event.clone(),
                hold: budget.saturating_mul(2),
            };
            let reserved = intake
                .committer
                .reserve(reserve, permit.take())
                .map_err(|error| refused(&error))?
                .await
                .map_err(|error| refused(&error))?;
            if !std::mem::replace(&mut counted, true) {
                self.gate
                    .meter
                    .reserved(&reserved, event.unusable.is_some());
            }
            let (seq, token, reply, by) = match reserved {
                Reserved::Recorded { reply, .. } => return Ok(reply),
                Reserved::InProgress { .. } => {
                    // Either way the next look tells.
                    let _ = timeout(look_again, decided).await;
                    look_again = look_again.saturating_mul(2);
                    continue;
                }
                Reserved::Conflict { seq } => {
                    tracing::warn!(
                        endpoint = %self.gate.name,
                        seq = seq.0,
                        "an event came again with another body; it gets the default reply"
                    );
                    return Ok(self.route.info.default);
                }
                Reserved::Abandoned { seq, token } => {
                    let reason = Text::from_static("the first decision was cut off");
                    (
                        seq,
                        token,
                        self.route.info.default.clone(),
                        DecidedBy::Default(reason),
                    )
                }
                Reserved::New { seq, token } if event.unusable.is_some() => {
                    let reason = Text::from_static("the body cannot be used");
                    (
                        seq,
                        token,
                        self.route.info.default.clone(),
                        DecidedBy::Default(reason),
                    )
                }
                Reserved::New { seq, token } => {
                    let id = event.id.clone();
                    let job = Job::new(Parts {
                        delivery: self.delivery.clone().with_headers(self.headers.clone()),
                        endpoint: intake.endpoint.clone(),
                        handler: self.route.info.text.clone(),
                        event_id: id.unwrap_or_else(|| body_key(&event.hash_body())),
                        attempt: Attempt::new(1, 1),
                        extensions: intake.extensions.clone(),
                        lease: None,
                        transaction: Transaction::default(),
                    });
                    let left = thinking_time(budget).saturating_sub(started.elapsed());
                    match run(&self.route, job, left).await {
                        Ok(reply) => (seq, token, reply, DecidedBy::Handler),
                        Err(reason) => {
                            tracing::error!(
                                endpoint = %self.gate.name,
                                seq = seq.0,
                                reason = %reason,
                                "a reply handler did not decide; the default answers"
                            );
                            let default = self.route.info.default.clone();
                            (seq, token, default, DecidedBy::Default(reason))
                        }
                    }
                }
            };
            let record = RecordReply {
                seq,
                token,
                reply: reply.clone(),
                by,
            };
            let recorded = intake
                .committer
                .record(record)
                .map_err(|error| refused(&error))?
                .await
                .map_err(|error| refused(&error))?;
            intake.decided.notify_waiters();
            match recorded {
                Recorded::Stored => return Ok(reply),
                Recorded::Superseded(reply) => return Ok(reply),
                Recorded::Lost => {}
            }
        }
    }

    fn budget(&self) -> Duration {
        let declared = self.delivery.event().ok().and_then(|event| {
            self.gate
                .provider
                .replies()
                .iter()
                .find(|rule| *event.event_type() == *rule.event_type)
                .map(|rule| rule.budget)
        });
        self.route
            .info
            .budget
            .or(declared)
            .unwrap_or(DEFAULT_BUDGET)
    }
}

/// The rest of the budget is for recording the reply and for the way back.
fn thinking_time(budget: Duration) -> Duration {
    budget.saturating_sub(budget / 5)
}

/// Runs the handler apart, so that its panic is its own.
async fn run(route: &ReplyRoute, job: Job, left: Duration) -> Result<Reply, Text> {
    let mut deciding = tokio::spawn(route.decide(job));
    match timeout(left, &mut deciding).await {
        Ok(Ok(Ok(reply))) if (200..600).contains(&reply.status) => Ok(reply),
        Ok(Ok(Ok(_))) => Err(Text::from_static("its status is none")),
        Ok(Ok(Err(error))) => Err(Text::from(error.chain())),
        Ok(Err(_)) => Err(Text::from_static("it panicked")),
        Err(_) => {
            deciding.abort();
            Err(Text::from_static("it was over its budget"))
        }
    }
}
