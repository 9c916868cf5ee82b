//! The store, as the rest of the library sees it.

use std::{fmt, future::Future, num::NonZeroUsize, pin::Pin, time::Duration};

use tower_webhooks_core::Text;

use crate::{
    Applied, Batch, Durability, Erase, EventRecord, EventSeq, Filter, InboxError, InboxErrorKind,
    Listing, Page, Pruned, Replayed, Retention, Retire, Retired, Selection, Settle, SettleResult,
    Stats, Want, Work,
};

/// A boxed future, which keeps [`Inbox`] usable as a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The store of events and jobs.
///
/// The design says: *200 means durable. The answer leaves only after the event
/// is committed to the inbox.* And: *every handler sees every event, at least
/// once.* A store keeps these promises if it keeps the following; the
/// [conformance suite](crate::conformance) checks all but the first.
///
/// **Loses money when broken**
///
/// * [`apply`](Self::apply) returns only after all of it would survive the loss
///   of power. Returning earlier loses an event that the provider will not send again.
/// * It is one transaction. An event without its jobs is never handled; a
///   completion without its work is paid twice or never.
/// * An event is unique by (endpoint, tenant, key), across processes and for as
///   long as the key is kept. A second row is a second payment.
/// * A settle, extension or recorded reply counts only with the job's or
///   reservation's current token. Otherwise two workers both finish one job.
/// * The *store* makes the jobs, over all registrations it has, at the insert.
///   A process that only knows its own handlers would make a rolling deploy miss events.
///
/// **Lets an attacker in when broken**
///
/// * Tenants and endpoints are part of the key. Without them, one tenant's event
///   named like another's hides it.
/// * Where the id is not signed, a known body is a duplicate. Without that, a
///   captured delivery runs again under each new id.
/// * And another body under a known id runs too. Without that, a captured delivery
///   sent ahead under the id of an event to come keeps that one from its handlers.
/// * Where the id is signed, another body never replaces the known one, or runs: it
///   is stored apart.
///
/// **Harmless**
///
/// * A lease that ended but that nobody took over may still settle: the token
///   decides, not the time.
/// * A handler may run again after a crash before its settle: at least once.
/// * [`next_due`](Self::next_due) may be too early: the claim finds nothing.
/// * A pruning step may stop short of its limit.
///
/// Only the store's clock decides what is due and when a lease ends: durations
/// cross this trait, never a client's timestamps, which would let a worker with
/// a wrong clock steal leases. The one exception, `received_at`, is compared only
/// with another `received_at`.
///
/// What a store answers is `#[non_exhaustive]`: it begins with `new` or `default`
/// and sets the fields that it knows.
///
/// Calls may be concurrent and from several processes. Handlers reach the store
/// through the [`Committer`](crate::Committer), which gathers what waits into one batch.
pub trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// Does all of the batch, durably, or none of it.
    ///
    /// How events are matched, within one endpoint and tenant:
    ///
    /// | the event has | it is a duplicate if | else |
    /// |---|---|---|
    /// | a signed id | its [key](crate::NewEvent::id_key) is known with the same body hash | a conflict if the key is known, or new |
    /// | an unsigned id | the same; or its body hash is known within its span | new, under [a key with both](crate::unsigned_key) if its own is known |
    /// | no id | its body hash is known within its span | new |
    /// | a reason why it is unusable | the same, of unusable ones too | stored as unusable |
    ///
    /// *Known within its span* looks only at usable events that were not matched
    /// by a signed id and are no conflict, and compares `received_at`, both ends
    /// included, with the latest of them. The hash is what
    /// [`hash_body`](crate::NewEvent::hash_body) says: an event of another type that
    /// nobody signed has another. A duplicate by body hash is counted in
    /// [`suppressed`](crate::StoredEvent::suppressed); one that finds a reservation
    /// [in progress](crate::Reserved::InProgress) not yet, since it looks again. The same conflict again is a
    /// duplicate of the conflict, and the same body under an unsigned id of the
    /// event that has both, however long ago.
    ///
    /// Jobs follow [`route`](crate::route) and are due at once. A reserved event
    /// counts as routed even when no handler matches. A reservation of an event that
    /// is known, undecided and unreserved is [abandoned](crate::Reserved::Abandoned).
    ///
    /// Jobs of one handler, tenant and ordering key run one after another if the
    /// handler was registered so; see [`Ordering`](crate::Ordering). Whatever ends
    /// one makes the next one due, in the same transaction. So does a registration
    /// by which nothing holds the next one up any more.
    ///
    /// A claim takes, for each handler wanted, the jobs that were due first,
    /// including running ones whose lease has ended. What ended the lease may have
    /// been the job itself, by ending the process, and so may each of those beside
    /// it: taken over together they would end together, until none has an attempt
    /// left. So whoever was cut short more than once is not taken but made pending,
    /// due later by a random part of [`put_off`](crate::put_off): those that are
    /// harmless end while the other waits.
    ///
    /// # Errors
    ///
    /// `Full` when there is no room for the new events, `Data` when some value
    /// cannot be stored, `Unavailable` and `Closed` otherwise. Nothing of the batch
    /// took effect, or, after `Unavailable`, it is unknown and the provider's
    /// redelivery or the lease's end sorts it out.
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, InboxError>>;

    /// How many batches the [`Committer`](crate::Committer) applies at once: as many as the
    /// store gains from. 1, the default, where the engine has one writer. An inbox that wraps
    /// another passes this method and the next three on.
    fn writers(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    /// Begins a transaction of the store's own engine, in which a handler writes
    /// and which [`settle_apart`](Self::settle_apart) commits together with the
    /// job's completion. Dropped without that, it is rolled back.
    ///
    /// `None`, the default, where the store has none to give away.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached.
    fn begin(&self) -> BoxFuture<'_, Result<Option<Work>, InboxError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Ends a lease in the transaction that the settle's work holds, and commits
    /// both: the handler's writes and the completion, or neither. Not part of a
    /// batch, whose commit must not wait for locks that a handler's writes wait for.
    ///
    /// The default refuses the work, as a store does whose [`begin`](Self::begin)
    /// gives none.
    ///
    /// # Errors
    ///
    /// When the connection broke: it is unknown whether the transaction was
    /// committed. If it was, the token is no longer the job's, so a later settle
    /// changes nothing.
    fn settle_apart(&self, settle: Settle) -> BoxFuture<'_, Result<SettleResult, InboxError>> {
        drop(settle);
        let refused = Text::from_static("this inbox commits no transactions of handlers");
        Box::pin(std::future::ready(Ok(SettleResult::WorkRefused(refused))))
    }

    /// Returns when another process may have made jobs due since the last call.
    /// A hint: workers look from time to time all the same. The default never
    /// returns. Cancel-safe.
    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// How long until one of these handlers' jobs can be claimed: it is due, or
    /// its lease ends. Zero if now, `None` if there is none. Handlers without a
    /// free slot are left out.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn next_due<'a>(
        &'a self,
        wants: &'a [Want],
    ) -> BoxFuture<'a, Result<Option<Duration>, InboxError>>;

    /// One page of the events chosen.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        page: Page,
    ) -> BoxFuture<'a, Result<Listing, InboxError>>;

    /// One event with body, headers and jobs, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn get(&self, seq: EventSeq) -> BoxFuture<'_, Result<Option<EventRecord>, InboxError>>;

    /// Counts. Cheap enough to be asked every few seconds.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn stats(&self) -> BoxFuture<'_, Result<Stats, InboxError>>;

    /// Runs chosen jobs again, from attempt 1, keeping their history; see [`Selection`].
    ///
    /// # Errors
    ///
    /// When the store cannot be written. Nothing of the page was replayed.
    fn replay<'a>(
        &'a self,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Replayed, InboxError>>;

    /// Drops bodies and keys that are older than the retention, oldest first, of
    /// at most `max_rows` events. Never what is unfinished, dead or unusable. A step
    /// that met only such may take nothing and say that there is more: each goes on
    /// where the one before ended.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    fn prune<'a>(
        &'a self,
        retention: &'a Retention,
        max_rows: usize,
    ) -> BoxFuture<'a, Result<Pruned, InboxError>>;

    /// Takes a handler out: its registration, and at most `max_jobs` of its jobs that
    /// are pending, running or dead, whose events are then pruned as others are. A
    /// lease is lost with its job. Refused while a worker asks for the handler; see
    /// [`Retire`]. The default refuses always; an inbox that wraps another passes this on.
    ///
    /// # Errors
    ///
    /// When the store cannot be written. Nothing of the step was done.
    fn retire<'a>(
        &'a self,
        what: &'a Retire,
        max_jobs: usize,
    ) -> BoxFuture<'a, Result<Retired, InboxError>> {
        let _ = (what, max_jobs);
        let refused = InboxError::new(InboxErrorKind::Data, "it does not retire handlers");
        Box::pin(std::future::ready(Err(refused)))
    }

    /// Wipes body, headers and errors, and keeps the key and a recorded reply, so
    /// that a redelivery is still recognised. Unfinished jobs end dead, and a
    /// running one's lease is lost. Returns how many events were erased now. A tenant
    /// with many goes in several transactions, between which events are stored.
    ///
    /// # Errors
    ///
    /// When the store cannot be written, or cannot yet get rid of what was erased. Some
    /// of a tenant may be erased: ask again.
    fn erase<'a>(&'a self, what: &'a Erase) -> BoxFuture<'a, Result<u64, InboxError>>;

    /// Reads back the settings that durability depends on.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn check(&self) -> BoxFuture<'_, Result<Durability, InboxError>>;
}

/// Writes the named methods of an [`Inbox`] that has another one inside: they go on to that.
///
/// For inboxes that count, trace or fail on purpose: those methods that do something of their own
/// are written by hand, the others are named here. A method with a default that is
/// neither written nor named keeps its default, as in any implementation.
///
/// ```
/// use tower_webhooks_inbox::{
///     Applied, Batch, BoxFuture, Inbox, InboxError, MemoryInbox, forward_inbox,
/// };
///
/// #[derive(Debug)]
/// struct Traced(MemoryInbox);
///
/// impl Inbox for Traced {
///     fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, InboxError>> {
///         tracing::debug!(inserts = batch.inserts.len(), "applies");
///         self.0.apply(batch)
///     }
///
///     forward_inbox!(self => self.0; writers begin settle_apart changed next_due list get stats replay
///         prune retire erase check);
/// }
/// ```
#[macro_export]
macro_rules! forward_inbox {
    ($this:ident => $inner:expr; $($method:ident)*) => {
        $($crate::forward_inbox!(@$method $this, $inner);)*
    };
    (@apply $this:ident, $inner:expr) => {
        fn apply(&$this, batch: $crate::Batch) -> $crate::BoxFuture<'_, ::core::result::Result<$crate::Applied, $crate::InboxError>> {
            $crate::Inbox::apply(&$inner, batch)
        }
    };
    (@writers $this:ident, $inner:expr) => {
        fn writers(&$this) -> ::core::num::NonZeroUsize {
            $crate::Inbox::writers(&$inner)
        }
    };
    (@begin $this:ident, $inner:expr) => {
        fn begin(&$this) -> $crate::BoxFuture<'_, ::core::result::Result<::core::option::Option<$crate::Work>, $crate::InboxError>> {
            $crate::Inbox::begin(&$inner)
        }
    };
    (@settle_apart $this:ident, $inner:expr) => {
        fn settle_apart(&$this, settle: $crate::Settle) -> $crate::BoxFuture<'_, ::core::result::Result<$crate::SettleResult, $crate::InboxError>> {
            $crate::Inbox::settle_apart(&$inner, settle)
        }
    };
    (@changed $this:ident, $inner:expr) => {
        fn changed(&$this) -> $crate::BoxFuture<'_, ()> {
            $crate::Inbox::changed(&$inner)
        }
    };
    (@next_due $this:ident, $inner:expr) => {
        fn next_due<'a>(&'a $this, wants: &'a [$crate::Want]) -> $crate::BoxFuture<'a, ::core::result::Result<::core::option::Option<::core::time::Duration>, $crate::InboxError>> {
            $crate::Inbox::next_due(&$inner, wants)
        }
    };
    (@list $this:ident, $inner:expr) => {
        fn list<'a>(&'a $this, filter: &'a $crate::Filter, page: $crate::Page) -> $crate::BoxFuture<'a, ::core::result::Result<$crate::Listing, $crate::InboxError>> {
            $crate::Inbox::list(&$inner, filter, page)
        }
    };
    (@get $this:ident, $inner:expr) => {
        fn get(&$this, seq: $crate::EventSeq) -> $crate::BoxFuture<'_, ::core::result::Result<::core::option::Option<$crate::EventRecord>, $crate::InboxError>> {
            $crate::Inbox::get(&$inner, seq)
        }
    };
    (@stats $this:ident, $inner:expr) => {
        fn stats(&$this) -> $crate::BoxFuture<'_, ::core::result::Result<$crate::Stats, $crate::InboxError>> {
            $crate::Inbox::stats(&$inner)
        }
    };
    (@replay $this:ident, $inner:expr) => {
        fn replay<'a>(&'a $this, selection: &'a $crate::Selection) -> $crate::BoxFuture<'a, ::core::result::Result<$crate::Replayed, $crate::InboxError>> {
            $crate::Inbox::replay(&$inner, selection)
        }
    };
    (@prune $this:ident, $inner:expr) => {
        fn prune<'a>(&'a $this, retention: &'a $crate::Retention, max_rows: usize) -> $crate::BoxFuture<'a, ::core::result::Result<$crate::Pruned, $crate::InboxError>> {
            $crate::Inbox::prune(&$inner, retention, max_rows)
        }
    };
    (@retire $this:ident, $inner:expr) => {
        fn retire<'a>(&'a $this, what: &'a $crate::Retire, max_jobs: usize) -> $crate::BoxFuture<'a, ::core::result::Result<$crate::Retired, $crate::InboxError>> {
            $crate::Inbox::retire(&$inner, what, max_jobs)
        }
    };
    (@erase $this:ident, $inner:expr) => {
        fn erase<'a>(&'a $this, what: &'a $crate::Erase) -> $crate::BoxFuture<'a, ::core::result::Result<u64, $crate::InboxError>> {
            $crate::Inbox::erase(&$inner, what)
        }
    };
    (@check $this:ident, $inner:expr) => {
        fn check(&$this) -> $crate::BoxFuture<'_, ::core::result::Result<$crate::Durability, $crate::InboxError>> {
            $crate::Inbox::check(&$inner)
        }
    };
}

// So that a store can be chosen when the program runs.
impl<I: Inbox + ?Sized> Inbox for std::sync::Arc<I> {
    forward_inbox!(self => **self; apply writers begin settle_apart changed next_due list get stats replay
        prune retire erase check);
}

impl<I: Inbox + ?Sized> Inbox for Box<I> {
    forward_inbox!(self => **self; apply writers begin settle_apart changed next_due list get stats replay
        prune retire erase check);
}
