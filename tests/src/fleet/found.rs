//! What came of a fleet's events.

use std::{collections::BTreeMap, fmt, time::Duration};

use tower_webhooks::postgres::tokio_postgres::Row;

use super::{Act, Fate, Fleet, Journals, LEASE};

/// What the database and the journals say.
#[derive(Debug)]
pub struct Found {
    /// How often each event is stored, by its id.
    events: BTreeMap<String, u64>,
    odd_events: u64,
    /// How many jobs there are of each handler in each state.
    jobs: BTreeMap<String, u64>,
    /// How often each event was booked, by its id.
    booked: BTreeMap<String, u64>,
    journals: Journals,
}

impl Found {
    /// Reads all of it; the processes must have been stopped.
    ///
    /// # Panics
    ///
    /// When the database is away.
    pub async fn look(fleet: &Fleet) -> Self {
        let shell = fleet.cluster.shell().await;
        let counts = async |sql: &str| -> BTreeMap<String, u64> {
            let rows = shell.query(sql, &[]).await.unwrap();
            let pair = |row: &Row| (row.get(0), row.get::<_, i64>(1).try_into().unwrap());
            rows.iter().map(pair).collect()
        };
        Self {
            events: counts("SELECT coalesce(id, ''), count(*) FROM event GROUP BY 1").await,
            odd_events: fleet
                .cluster
                .count("SELECT count(*) FROM event WHERE state <> 'routed'")
                .await,
            jobs: counts("SELECT handler || ' ' || state, count(*) FROM job GROUP BY 1").await,
            booked: counts("SELECT event, count(*) FROM booking GROUP BY 1").await,
            journals: fleet.journals(),
        }
    }

    /// Checks that these events, all of which were acknowledged, are stored once
    /// and handled once, as the script says.
    ///
    /// # Panics
    ///
    /// When it is not so.
    pub fn check(&self, events: u64) {
        let all: Vec<_> = (0..events).map(Act).collect();
        let stored = all.iter().map(|act| (act.id(), 1)).collect();
        assert_same(&self.events, &stored, "each event is stored once");
        assert_eq!(self.odd_events, 0, "events without jobs");

        let mut jobs = BTreeMap::new();
        for (handler, fate) in all.iter().flat_map(|act| act.jobs()) {
            let state = if fate == Fate::Dead { "dead" } else { "done" };
            *jobs.entry(format!("{handler} {state}")).or_default() += 1;
        }
        assert_eq!(self.jobs, jobs, "jobs by handler and state");
        let orders = all.iter().filter(|act| act.endpoint() == "orders");
        let booked = orders.map(|act| (act.id(), 1)).collect();
        assert_same(&self.booked, &booked, "each order is booked once");

        let journals = &self.journals;
        assert_eq!(journals.overlaps(), [], "runs of one job at the same time");
        assert_eq!(journals.ended_twice(), [""; 0], "jobs that ended twice");
        assert!(self.longest() > LEASE, "no run was longer than a lease");
    }

    /// The longest run.
    fn longest(&self) -> Duration {
        let runs = self.journals.runs.iter();
        let spans = runs.map(|run| run.span.1 - run.span.0);
        Duration::from_nanos(spans.max().unwrap_or_default())
    }
}

/// Names what differs, not all that is the same.
fn assert_same(found: &BTreeMap<String, u64>, expected: &BTreeMap<String, u64>, what: &str) {
    let missing: Vec<_> = expected
        .keys()
        .filter(|id| !found.contains_key(*id))
        .collect();
    let wrong: Vec<_> = found
        .iter()
        .filter(|(id, times)| expected.get(*id) != Some(times))
        .collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "{what}: not {missing:?}, but {wrong:?}"
    );
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runs, jobs) = (self.journals.runs.len(), self.jobs.values().sum::<u64>());
        let booked_again: u64 = self.booked.values().map(|times| times - 1).sum();
        write!(
            f,
            "{jobs} jobs in {runs} runs, {} of them at the same time, the longest {:.1?}; \
             {booked_again} booked twice",
            self.journals.overlaps().len(),
            self.longest(),
        )
    }
}
