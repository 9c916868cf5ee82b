//! Events for one handler: stored, claimed, completed.

use std::time::{Duration, SystemTime};

use tower_webhooks::inbox::{
    Batch, Claim, Inbox, Leased, NewEvent, Ordering, Pattern, Registration, Settle, Settlement,
    Want,
};

use crate::durable::sender::BODY_BYTES;

/// As many as the committer takes into one transaction.
pub const STEP: u64 = 1_000;

/// Registers the handler.
///
/// # Errors
///
/// The inbox is away.
pub async fn register(inbox: &dyn Inbox) -> anyhow::Result<()> {
    let registration = Registration {
        endpoint: "shop".into(),
        handler: "ship".into(),
        pattern: Pattern::all(),
        fallback: false,
        ordering: Ordering::None,
    };
    let batch = Batch {
        registers: vec![registration],
        ..Batch::default()
    };
    inbox.apply(batch).await?;
    Ok(())
}

/// Stores these events, in one transaction.
///
/// # Errors
///
/// The inbox is away.
pub async fn insert(inbox: &dyn Inbox, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let inserts = numbers.map(|number| {
        let mut event = NewEvent::new("shop", vec![b'x'; BODY_BYTES], SystemTime::now());
        // Spread as random ids are, so that the index of keys grows as it does in earnest.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        event.id = Some(format!("evt_{spread:016x}").into());
        event.event_type = Some("order.paid".into());
        event
    });
    let batch = Batch {
        inserts: inserts.collect(),
        ..Batch::default()
    };
    inbox.apply(batch).await?;
    Ok(())
}

/// Stores so many events.
///
/// # Errors
///
/// The inbox is away.
pub async fn fill(inbox: &dyn Inbox, from: u64, count: u64) -> anyhow::Result<()> {
    let mut next = from;
    while next < from + count {
        let end = (next + STEP).min(from + count);
        insert(inbox, next..end).await?;
        next = end;
    }
    Ok(())
}

/// Completes all jobs, each step settling what the one before claimed; returns how many.
///
/// # Errors
///
/// The inbox is away.
pub async fn drain(inbox: &dyn Inbox, at_once: usize) -> anyhow::Result<u64> {
    let (mut settles, mut completed) = (Vec::new(), 0);
    loop {
        let batch = Batch {
            settles,
            claim: Some(claim(at_once)),
            ..Batch::default()
        };
        let claimed = inbox.apply(batch).await?.claimed;
        if claimed.is_empty() {
            return Ok(completed);
        }
        completed += claimed.len() as u64;
        settles = claimed.iter().map(done).collect();
    }
}

/// A claim of so many.
#[must_use]
pub fn claim(free: usize) -> Claim {
    Claim {
        worker: "bench".into(),
        wants: vec![Want {
            endpoint: "shop".into(),
            handler: "ship".into(),
            free,
        }],
        lease: Duration::from_secs(600),
    }
}

/// The job's completion.
#[must_use]
pub fn done(job: &Leased) -> Settle {
    Settle {
        key: job.key(),
        token: job.token,
        outcome: Settlement::Done,
        work: None,
    }
}
