//! The inbox in PostgreSQL passes the suite that every inbox passes, over each of
//! its drivers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{sync::Arc, time::Duration};

use common::Schema;
use tower_webhooks_inbox::{BoxFuture, Inbox, conformance::Harness};
use tower_webhooks_postgres::{PostgresBuilder, PostgresInbox};

struct InPostgres {
    inbox: PostgresInbox,
    /// A second process, as far as PostgreSQL can tell.
    second: PostgresInbox,
    schema: Schema,
}

impl Harness for InPostgres {
    fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::new(self.inbox.clone())
    }

    fn second(&self) -> Arc<dyn Inbox> {
        Arc::new(self.second.clone())
    }

    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.schema.advance(by))
    }
}

mod over_tokio_postgres {
    use super::*;

    async fn make() -> InPostgres {
        let schema = Schema::new();
        InPostgres {
            inbox: schema.open().await,
            second: schema.builder().without_notify().open().await.unwrap(),
            schema,
        }
    }

    tower_webhooks_inbox::conformance_tests!(
        ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\"",
        make
    );
}

#[cfg(feature = "sqlx")]
mod over_sqlx {
    use tower_webhooks_postgres::sqlx::postgres::PgPoolOptions;

    use super::*;

    async fn make() -> InPostgres {
        let schema = Schema::new();
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect(&common::url())
            .await
            .unwrap();
        let inbox = PostgresInbox::from_sqlx(pool).with_schema(schema.name.clone());
        InPostgres {
            inbox: inbox.open().await.unwrap(),
            // The drivers share one inbox.
            second: schema.builder().without_notify().open().await.unwrap(),
            schema,
        }
    }

    tower_webhooks_inbox::conformance_tests!(
        ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\"",
        make
    );
}

/// A pooler in transaction mode: the next transaction has another connection.
mod behind_pgbouncer {
    use super::*;

    fn url() -> String {
        std::env::var("TOWER_WEBHOOKS_PGBOUNCER").unwrap()
    }

    async fn pooled(told: fn(PostgresBuilder) -> PostgresBuilder) -> InPostgres {
        let schema = Schema::new();
        let open = || {
            let inbox = PostgresInbox::builder(url()).with_schema(schema.name.clone());
            told(inbox).open()
        };
        InPostgres {
            inbox: open().await.unwrap(),
            second: open().await.unwrap(),
            schema,
        }
    }

    mod over_tokio_postgres {
        use super::*;

        async fn make() -> InPostgres {
            pooled(PostgresBuilder::without_notify).await
        }

        tower_webhooks_inbox::conformance_tests!(
            ignore = "needs PgBouncer before PostgreSQL: eval \"$(scripts/postgres start)\"",
            make
        );
    }

    /// Nobody said so: the inbox finds out as it opens.
    mod unannounced {
        use super::*;

        async fn make() -> InPostgres {
            pooled(|inbox| inbox).await
        }

        tower_webhooks_inbox::conformance_tests!(
            ignore = "needs PgBouncer before PostgreSQL: eval \"$(scripts/postgres start)\"",
            make
        );
    }

    #[cfg(feature = "sqlx")]
    mod over_sqlx {
        use tower_webhooks_postgres::sqlx::postgres::PgPoolOptions;

        use super::*;

        async fn make() -> InPostgres {
            let schema = Schema::new();
            let pool = PgPoolOptions::new().max_connections(4);
            let pool = pool.connect(&url()).await.unwrap();
            let open = || {
                let inbox = PostgresInbox::from_sqlx(pool.clone());
                let inbox = inbox.with_schema(schema.name.clone());
                inbox.without_notify().open()
            };
            InPostgres {
                inbox: open().await.unwrap(),
                second: open().await.unwrap(),
                schema,
            }
        }

        tower_webhooks_inbox::conformance_tests!(
            ignore = "needs PgBouncer before PostgreSQL: eval \"$(scripts/postgres start)\"",
            make
        );
    }
}
