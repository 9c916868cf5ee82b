//! A receiver's start: what the one before it still held is free, since the lock
//! says that it has ended.

use rusqlite::{Connection, TransactionBehavior};

use super::{Boot, tally::Tally};

/// Frees the running jobs. What was running when its process ended may be what
/// ended it, and so may each of those beside it: due together, they would run
/// and end together until none has an attempt left. So whoever was cut short
/// more than once waits, those of as many attempts spread evenly over a time that
/// doubles with each: 250 ms after the second attempt, 17 min from the 14th on.
/// Those that are harmless end while the other waits. The first time is no
/// evidence, and they are due at once.
const FREE: &str = "
    WITH held AS (
        SELECT seq, handler,
               CASE WHEN attempts < 2 THEN 0
                   ELSE 250000 << min(attempts - 2, 12) END AS spread,
               row_number() OVER same AS place,
               count(*) OVER same_all AS jobs
        FROM job
        WHERE due_at IS NOT NULL AND state = 'running' AND boot <> 0
        WINDOW same_all AS (PARTITION BY attempts),
               same AS (PARTITION BY attempts ORDER BY seq, handler)
    )
    UPDATE job SET state = 'pending', due_at = ?1 + spread * place / jobs
    FROM held WHERE job.seq = held.seq AND job.handler = held.handler";

/// Opens the inbox for a receiver. Reservations of the one before are free at
/// once: nobody runs their handler again.
pub(crate) fn start_boot(connection: &mut Connection, now: i64) -> rusqlite::Result<Boot> {
    let connection = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    put_right(&connection, now)?;
    let boot = connection.query_row(
        "UPDATE inbox SET boot = boot + 1 RETURNING boot",
        [],
        |row| row.get(0),
    )?;
    let released = {
        let mut running = connection.prepare(
            "SELECT endpoint, handler, count(*) FROM job
             WHERE due_at IS NOT NULL AND state = 'running' AND boot <> 0
             GROUP BY endpoint, handler",
        )?;
        let rows = running.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<rusqlite::Result<Vec<(String, String, i64)>>>()?
    };
    connection.execute(FREE, [now])?;
    for (endpoint, handler, jobs) in released {
        tracing::info!(
            endpoint,
            handler,
            jobs,
            "released what the receiver before had leased"
        );
        let mut tally = Tally::default();
        tally.move_jobs(&endpoint, &handler, jobs);
        tally.write(&connection)?;
    }
    connection.execute(
        "UPDATE reply SET held_until = min(held_until, ?1) WHERE status IS NULL AND boot <> 0",
        [now],
    )?;
    connection.commit()?;
    Ok(Boot::Receiver(boot))
}

/// The clock was ahead until the receiver ended, and is right now: what was to
/// happen at a time that has not come is brought back with it. Otherwise a job that
/// was due at once would wait until the clock has caught up, which may be years.
fn put_right(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    let last_at: i64 = connection.query_row("SELECT last_at FROM inbox", [], |row| row.get(0))?;
    let ahead = last_at.saturating_sub(now);
    if ahead <= TOLERANCE_MICROS {
        return Ok(());
    }
    let seconds = ahead / 1_000_000;
    tracing::warn!(
        seconds,
        "the clock was ahead when the inbox was used last; what waits is brought back by as much"
    );
    for sql in [
        "UPDATE job SET due_at = max(due_at - ?2, ?1) WHERE due_at > ?1",
        "UPDATE handler SET asked_at = asked_at - ?2 WHERE asked_at > ?1",
        "UPDATE reply SET held_until = max(held_until - ?2, ?1)
         WHERE status IS NULL AND held_until > ?1",
        "UPDATE event SET stored_at = max(stored_at - ?2, 0) WHERE stored_at > ?1",
    ] {
        connection.execute(sql, (now, ahead))?;
    }
    connection.execute("UPDATE inbox SET last_at = ?1", [now])?;
    Ok(())
}

/// Less than this puts nothing off that anybody would notice.
const TOLERANCE_MICROS: i64 = 1_000_000;
