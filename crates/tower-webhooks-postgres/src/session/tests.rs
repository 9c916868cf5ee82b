//! What a database does with connections that are of no use.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use tower_webhooks_inbox::{BoxFuture, Work};

use super::*;
use crate::{
    driver::{Begun, Listener, Pool},
    schema::SchemaName,
};

/// What becomes of a transaction on one connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Broken,
    Primary,
    Silent,
    /// Begins, and then breaks.
    Short,
    Standby,
}

/// Connections, those that are kept first; then one after another is made.
#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<Kind>,
    made: VecDeque<Kind>,
    discarded: Vec<Kind>,
    busy: bool,
}

struct Lent {
    kind: Kind,
    back: Fake,
    discarded: bool,
}

impl Fake {
    fn new(kept: &[Kind], made: &[Kind]) -> Self {
        let state = State {
            kept: kept.iter().copied().collect(),
            made: made.iter().copied().collect(),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn database(&self) -> Database {
        let limits = Limits {
            begin: Duration::from_millis(500),
            statement: Duration::from_secs(5),
        };
        Database::new(Arc::new(self.clone()), None, SchemaName::default(), limits)
    }
}

impl Pool for Fake {
    fn connection(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, Failure>> {
        Box::pin(async {
            let found = {
                let mut state = self.state();
                state.kept.pop_front().or_else(|| state.made.pop_front())
            };
            match found {
                Some(kind) => Ok(Box::new(Lent {
                    kind,
                    back: self.clone(),
                    discarded: false,
                }) as Box<dyn Connection>),
                None if self.is_busy() => std::future::pending().await,
                None => Err(Failure::Connection("nobody listens".into())),
            }
        })
    }

    fn is_busy(&self) -> bool {
        self.state().busy
    }

    fn listen<'a>(
        &'a self,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Listener>>, Failure>> {
        Box::pin(async { Ok(None) })
    }

    fn take_work(&self, _: &Work) -> Option<Begun> {
        None
    }
}

impl Connection for Lent {
    fn make<'a>(&'a mut self, trip: Trip<'a>) -> BoxFuture<'a, Result<Vec<Vec<Row>>, Failure>> {
        Box::pin(async move {
            let broken = || Err(Failure::Connection("it broke".into()));
            match (self.kind, trip.begin) {
                (Kind::Broken, _) => broken(),
                (Kind::Silent, _) => std::future::pending().await,
                (Kind::Standby, Some(_)) => Err(Failure::Server {
                    code: "0A000".to_owned(),
                    message: "cannot set transaction read-write mode during recovery".to_owned(),
                    constraint: None,
                }),
                (kind, Some(begin)) => {
                    begin.done.notify_one();
                    if kind == Kind::Short {
                        return broken();
                    }
                    Ok(Vec::new())
                }
                (_, None) => Ok(Vec::new()),
            }
        })
    }

    fn roll_back(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }

    fn discard(mut self: Box<Self>) {
        self.discarded = true;
        self.back.state().discarded.push(self.kind);
    }

    fn into_work(self: Box<Self>, mark: String) -> Work {
        Work::new(mark)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.discarded {
            self.back.state().kept.push_back(self.kind);
        }
    }
}

#[tokio::test]
async fn a_standbys_connections_are_closed_until_a_primary_is_found() {
    let fake = Fake::new(&[Kind::Standby; 3], &[Kind::Primary; 2]);
    let database = fake.database();
    let session = database.write().await.unwrap();
    session.end(Ok(())).await.unwrap();
    assert_eq!(fake.state().discarded, [Kind::Standby; 3]);
    assert_eq!(fake.state().kept, [Kind::Primary]);

    let fake = Fake::new(&[Kind::Standby; 3], &[Kind::Primary; 2]);
    fake.database().begin_work().await.unwrap();
    assert_eq!(fake.state().discarded, [Kind::Standby; 3]);
}

#[tokio::test]
async fn where_only_a_standby_answers_that_is_said_and_none_is_kept() {
    let fake = Fake::new(&[], &[Kind::Standby; 9]);
    let database = fake.database();
    let failure = database.write().await.map(drop).unwrap_err();
    assert_eq!(failure.code(), "0A000");
    let failure = database.begin_work().await.map(drop).unwrap_err();
    assert_eq!(failure.code(), "0A000");
    assert!(fake.state().kept.is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_away_if_it_makes_no_connection_or_begins_nothing() {
    for (kept, made) in [
        (&[][..], &[][..]),
        (&[Kind::Broken, Kind::Broken][..], &[][..]),
        (&[][..], &[Kind::Silent][..]),
    ] {
        let fake = Fake::new(kept, made);
        let database = fake.database();
        database.write().await.map(drop).unwrap_err();
        assert!(database.away().is_some(), "{kept:?} {made:?}");
        assert!(fake.state().kept.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_not_away_for_what_comes_later_nor_while_its_connections_are_in_use() {
    let fake = Fake::new(&[Kind::Short], &[Kind::Primary]);
    let database = fake.database();
    let failure = database.write().await.map(drop).unwrap_err();
    assert!(matches!(failure, Failure::Connection(_)), "{failure:?}");
    assert!(database.away().is_none());
    assert_eq!(fake.state().discarded, [Kind::Short], "and not tried again");

    let fake = Fake::new(&[], &[]);
    fake.state().busy = true;
    let database = fake.database();
    let failure = database.write().await.map(drop).unwrap_err();
    assert!(matches!(failure, Failure::Busy), "{failure:?}");
    assert!(database.away().is_none());
}
