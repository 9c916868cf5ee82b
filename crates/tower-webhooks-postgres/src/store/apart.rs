//! A job's completion in its handler's own transaction.

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Settle, SettleResult};

use super::{After, Result, Transaction};
use crate::{
    error::Failure,
    schema::SchemaName,
    session::{IDLE, MARK, ROLE, Session},
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
    let settings = format!(
        "SELECT current_setting('{MARK}', true), current_setting('search_path'),
             current_setting('role'), current_setting('lock_timeout')"
    );
    let before = session.first(&settings, &[]).await?;
    let (found, path, role, lock) = {
        let setting = |at| match &before {
            Some(row) => row.get::<Option<&str>>(at),
            None => Ok(None),
        };
        (setting(0)?, setting(1)?, setting(2)?, setting(3)?)
    };
    if found != Some(mark) {
        let reason = Text::from_static(
            "the handler ended its transaction itself: what it committed is not fenced",
        );
        return Ok((SettleResult::WorkRefused(reason), After::default()));
    }
    let limit = session.limit().as_millis().max(1);
    // A lock may be another job's of a line that shares it, whose commit waits for locks of its
    // own. And whoever vanishes from here on must not keep the job's row.
    session
        .batch(&format!(
            "SELECT set_config('role', current_setting('{ROLE}'), true),
                 set_config('search_path', '{schema}, pg_temp', true),
                 set_config('lock_timeout', '{limit}', true),
                 set_config('{IDLE}', '{limit}', true)",
            schema = schema.quoted(),
        ))
        .await?;
    let mut transaction = Transaction::new(session, schema);
    let lines = transaction.lines_of_settle(settle).await?;
    transaction.lock_lines(&lines).await?;
    // Waited for, unlike in a batch: its worker may be extending its lease at this moment, and
    // what the handler wrote cannot be settled again.
    transaction.lock_job(&settle.key).await?;
    let result = transaction.settle(settle).await?;
    transaction.call_next().await?;
    let after = transaction.finish();
    session.flush().await?;
    // What the commit triggers is the handler's: it finds its tables, may do what he may, and
    // waits for their locks as he does.
    session
        .run(
            "SELECT set_config('search_path', coalesce($1, ''), true),
                 set_config('lock_timeout', coalesce($3, '0'), true),
                 set_config('role', coalesce($2, 'none'), true)",
            &[
                (&path, Type::TEXT),
                (&role, Type::TEXT),
                (&lock, Type::TEXT),
            ],
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
