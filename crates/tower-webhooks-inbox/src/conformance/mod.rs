//! The suite that every inbox passes: ours, and yours.
//!
//! Implement [`Harness`] for your store: an empty inbox, perhaps a second writer,
//! and a way to let the store's time pass. Then either make one test of each case
//!
//! ```
//! use std::{sync::Arc, time::{Duration, SystemTime}};
//! use tower_webhooks_core::ManualClock;
//! use tower_webhooks_inbox::{BoxFuture, Inbox, MemoryInbox, conformance::{self, Harness}};
//!
//! struct InMemory { inbox: MemoryInbox, clock: ManualClock }
//!
//! impl Harness for InMemory {
//!     fn inbox(&self) -> Arc<dyn Inbox> {
//!         Arc::new(self.inbox.clone())
//!     }
//!
//!     fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
//!         self.clock.advance(by);
//!         Box::pin(std::future::ready(()))
//!     }
//! }
//!
//! async fn make() -> InMemory {
//!     let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
//!     InMemory { inbox: MemoryInbox::new().with_clock(clock.clone()), clock }
//! }
//!
//! tower_webhooks_inbox::conformance_tests!(make);
//!
//! // … or run all of them.
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(
//! conformance::run(make)
//! # );
//! ```
//!
//! The suite cannot see whether what was stored survives the loss of power: show
//! that by crashing your store.
//!
//! `identity` asks what is a duplicate, `routing` who gets a job, `leases` who
//! holds it, `ordering` who waits for whom, `replies` who decides, `readings` what an unusable event
//! turns out to be, `stats` what is counted, `operating` what people do, `retiring`
//! what becomes of a handler that is taken out.

#![expect(
    clippy::expect_used,
    reason = "these are tests, exported for other stores"
)]

mod identity;
mod leases;
mod operating;
mod ordering;
mod probe;
mod readings;
mod replies;
mod retiring;
mod routing;
mod stats;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use self::probe::Probe;
use crate::{BoxFuture, Inbox};

/// A fresh store under test.
pub trait Harness: Send + Sync {
    /// The inbox. Empty at first; the same one at each call.
    fn inbox(&self) -> Arc<dyn Inbox>;

    /// The same data through another writer, such as a second connection.
    /// Default: the same inbox.
    fn second(&self) -> Arc<dyn Inbox> {
        self.inbox()
    }

    /// Lets this much time pass for the store. Where its clock cannot be turned,
    /// set every time that it has stored back by as much.
    fn advance(&self, by: Duration) -> BoxFuture<'_, ()>;
}

/// One thing that an inbox must do.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    run: for<'a> fn(&'a Probe<'a>) -> BoxFuture<'a, ()>,
}

impl Case {
    /// What it must do, as a sentence with underscores.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the case on a fresh store.
    ///
    /// # Panics
    ///
    /// If the inbox does not do what it must.
    pub async fn run(&self, harness: &dyn Harness) {
        (self.run)(&Probe::new(harness)).await;
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// Every case.
pub static CASES: &[Case] = crate::conformance_tests!(@list);

/// Runs every case, each on a store of its own.
///
/// # Panics
///
/// At the first thing that the inbox does not do as it must.
pub async fn run<H, F>(make: impl Fn() -> F)
where
    H: Harness,
    F: Future<Output = H>,
{
    for case in CASES {
        case.run(&make().await).await;
    }
}

/// Runs one case by its name, on a runtime of its own.
///
/// # Panics
///
/// If there is no such case, or if the inbox does not do what it must.
pub fn run_one<H, F>(name: &str, make: impl FnOnce() -> F)
where
    H: Harness,
    F: Future<Output = H>,
{
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.expect("a case of this name");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime")
        .block_on(async { case.run(&make().await).await });
}

/// Makes one `#[test]` of each [case](Case). Takes a function like `async fn make() -> impl
/// Harness`; see [`conformance`](mod@crate::conformance). Before it, `ignore = "needs a server",`
/// makes tests that run only when they are asked for.
#[macro_export]
macro_rules! conformance_tests {
    (@list) => {
        $crate::conformance_tests!(@cases list [])
    };
    (@cases $then:ident [$($make:tt)*]) => {
        $crate::conformance_tests! {
            @$then [$($make)*]
            identity {
                a_duplicate_within_a_batch_is_known
                a_duplicate_in_a_later_batch_is_known_to_every_writer
                a_duplicate_is_known_after_its_jobs_are_done
                tenants_are_apart
                endpoints_are_apart
                a_known_id_with_another_body_is_stored_apart
                an_equal_body_without_id_is_known_until_its_span_ends
                an_equal_body_is_new_under_another_signed_id
                an_unsigned_id_cannot_rename_a_known_body
                an_equal_body_of_another_unsigned_type_is_new
                a_signed_id_is_known_under_every_type
                an_unsigned_id_with_another_body_is_new_and_both_run
                a_known_body_is_a_duplicate_under_every_known_unsigned_id
                an_id_that_looks_like_a_key_is_only_an_id
                everything_of_an_event_is_kept
            }
            routing {
                every_matching_handler_gets_a_job
                a_fallback_gets_only_what_nothing_else_matched
                registering_again_changes_nothing_or_replaces
                handlers_of_an_endpoint_are_its_own
                a_handler_registered_by_another_process_misses_nothing
                a_handler_registered_with_its_first_event_gets_it
                an_unhandled_event_runs_when_replayed_after_its_handler_came
                an_unusable_event_is_stored_without_a_job
                results_keep_the_order_of_the_batch
            }
            leases {
                a_claim_takes_no_more_than_the_free_slots
                the_oldest_due_job_comes_first
                an_unwanted_handler_is_left_alone
                a_leased_job_is_not_given_twice
                an_ended_lease_is_taken_over_with_a_new_token
                an_ended_lease_that_nobody_took_still_settles
                a_stale_token_settles_and_extends_nothing
                an_extended_lease_lasts_from_then_on
                attempts_count_at_the_claim
                jobs_that_were_cut_short_together_come_back_apart
                a_release_gives_the_attempt_back
                a_retry_is_not_due_before_its_time
                a_dead_job_does_not_run_again
                one_handler_done_leaves_the_other_pending
                next_due_tells_when_a_claim_will_find_something
                unknown_work_is_refused_and_the_lease_kept
                a_batch_settles_before_it_claims
            }
            ordering {
                jobs_of_one_key_run_one_after_another
                keys_tenants_and_handlers_do_not_wait_for_each_other
                without_a_key_or_an_ordering_nothing_waits
                a_retry_keeps_its_place
                a_job_that_was_put_off_keeps_its_place
                a_dead_job_blocks_its_key_until_it_is_replayed
                a_dead_job_is_skipped_where_that_is_asked_for
                a_blocked_line_goes_on_once_its_handler_skips_dead_jobs
                a_blocked_line_goes_on_once_its_handler_orders_nothing
                a_replayed_job_waits_for_the_one_that_runs
                an_erased_job_gives_its_place_away
                an_event_read_anew_stands_in_its_line
                a_key_waits_for_an_ended_lease_that_nobody_took
            }
            replies {
                a_recorded_reply_answers_every_redelivery
                a_redelivery_waits_while_another_decides
                an_abandoned_reservation_is_taken_over
                a_reservation_that_nobody_decides_ends_by_age
                a_redelivery_that_looks_again_is_suppressed_once
                a_stale_reservation_records_nothing
                the_first_recorded_reply_stands
                a_conflicting_reservation_reserves_nothing
                an_unsigned_id_with_another_body_is_decided_for_itself
                a_reserved_event_has_its_jobs
                a_reserved_event_without_handlers_is_routed
                redeliveries_within_one_batch_share_one_decision
                an_unusable_event_can_be_reserved
            }
            readings {
                an_unusable_event_runs_when_it_was_read_anew
                a_reading_with_a_known_id_becomes_a_conflict
                a_reading_with_a_known_unsigned_id_runs
                a_reading_with_an_unsigned_type_is_known_with_it
            }
            stats {
                stats_count_every_job_once
                stats_follow_what_begins_and_ends
                jobs_that_nobody_asks_for_are_orphaned
                the_newest_event_is_as_old_as_its_storing
            }
            operating {
                a_replay_runs_only_what_is_selected
                a_dry_run_replays_nothing
                a_replayed_job_starts_over_and_keeps_its_history
                a_conflict_runs_when_it_is_replayed
                a_backfill_gives_a_new_handler_the_old_events
                lists_are_filtered_and_paged
                pruning_keeps_what_is_unfinished_or_dead
                pruning_bodies_keeps_keys
                pruning_keys_forgets_the_event
                erasing_wipes_the_body_and_keeps_the_key
                erasing_a_tenant_leaves_the_others
                erasing_a_large_tenant_erases_all_of_it
                an_erased_job_cannot_settle
            }
            retiring {
                a_retired_handler_gets_nothing_and_holds_nothing
                a_handler_that_a_worker_asks_for_is_retired_only_by_force
                a_retired_handler_leaves_its_events_to_others
                retiring_goes_in_steps_and_stops_no_line
            }
        }
    };
    (@list [] $($module:ident { $($case:ident)* })*) => {
        &[$($($crate::conformance::Case {
            name: stringify!($case),
            run: |probe| Box::pin($module::$case(probe)),
        },)*)*]
    };
    (@tests [$ignored:tt $make:expr] $($module:ident { $($case:ident)* })*) => {
        $($($crate::conformance_tests!(@test $ignored $make, $case);)*)*
    };
    (@test [] $make:expr, $case:ident) => {
        #[test]
        fn $case() {
            $crate::conformance::run_one(stringify!($case), $make);
        }
    };
    (@test [$reason:literal] $make:expr, $case:ident) => {
        #[test]
        #[ignore = $reason]
        fn $case() {
            $crate::conformance::run_one(stringify!($case), $make);
        }
    };
    (ignore = $reason:literal, $make:expr) => {
        $crate::conformance_tests!(@cases tests [[$reason] $make]);
    };
    ($make:expr) => {
        $crate::conformance_tests!(@cases tests [[] $make]);
    };
}
