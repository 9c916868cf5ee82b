//! A job's completion in its handler's own transaction.

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Settle, SettleResult};

use super::{After, Result, Transaction};
use crate::{
    error::Failure,
    schema::SchemaName,
    session::{MARK, Session},
};

/// Settles the job and commits what the handler wrote, or neither.
pub(crate) async fn complete(
    mut session: Session,
    schema: &SchemaName,
    mark: &str,
    mut settle: Settle,
) -> Result<(SettleResult, After)> {
    // It is the transaction itself.
    settle.work = None;
    let settled = settle_within(&mut session, schema, mark, &settle).await;
    let (result, after) = match settled {
        Ok((SettleResult::Settled, after)) => match session.end(Ok(())).await {
            Ok(()) => (SettleResult::Settled, after),
            // Such as a constraint that is checked at the end.
            Err(failure) => (refused(failure)?, After::default()),
        },
        Ok((other, _)) => {
            session.roll_back().await;
            (other, After::default())
        }
        Err(failure) => {
            let refused = refused(failure)?;
            session.roll_back().await;
            (refused, After::default())
        }
    };
    Ok((result, after))
}

async fn settle_within(
    session: &mut Session,
    schema: &SchemaName,
    mark: &str,
    settle: &Settle,
) -> Result<(SettleResult, After)> {
    let before = session
        .first(
            &format!("SELECT current_setting('{MARK}', true), current_setting('search_path')"),
            &[],
        )
        .await?;
    let (found, path) = match &before {
        Some(row) => (
            row.get::<Option<&str>>(0)?,
            row.get::<Option<&str>>(1)?.unwrap_or_default(),
        ),
        None => (None, ""),
    };
    if found != Some(mark) {
        let reason = Text::from_static(
            "the handler ended its transaction itself: what it committed is not fenced",
        );
        return Ok((SettleResult::WorkRefused(reason), After::default()));
    }
    session
        .batch(&format!(
            "SET LOCAL search_path = {}, pg_temp",
            schema.quoted()
        ))
        .await?;
    let mut transaction = Transaction::new(session, schema);
    let lines = transaction.lines_of_settle(settle).await?;
    transaction.lock_lines(&lines).await?;
    let result = transaction.settle(settle).await?;
    transaction.call_next().await?;
    let after = transaction.finish();
    session.flush().await?;
    // What the commit triggers is the handler's, and finds its tables as he does.
    session
        .run(
            "SELECT set_config('search_path', $1, true)",
            &[(&path, Type::TEXT)],
        )
        .await?;
    Ok((result, after))
}

/// A refusal with the server's reason; a broken connection stays a failure, since
/// nobody knows what became of the transaction.
fn refused(failure: Failure) -> Result<SettleResult> {
    match failure {
        Failure::Server { .. } => Ok(SettleResult::WorkRefused(Text::from(failure.to_string()))),
        other => Err(other),
    }
}
