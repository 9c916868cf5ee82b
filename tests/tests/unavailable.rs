//! The table of answers, for what is to be sent again: 503. In both forms of
//! mounting.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{HeaderValue, header};
use tokio::time::Instant;
use tower_webhooks::{Endpoint, RejectionKind, SecretSource, Secrets, Tenant, Text};
use tower_webhooks_inbox::{CommitterOptions, InboxErrorKind};
use tower_webhooks_tests::{
    ACCEPTED, Acme, Answered, Form, SECRET, acme, ask, body, endless, refused, soon, turns,
};

fn assert_come_back(answer: &Answered, kind: RejectionKind, form: Form) {
    assert_eq!(answer.summary(), refused(503, kind), "{form:?}");
    assert_eq!(answer.headers[header::RETRY_AFTER], "5", "{form:?}");
}

#[tokio::test]
async fn a_receiver_that_is_stopping_says_503_and_forgeries_stay_401() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        acme.webhooks.stop_accepting();
        assert!(!acme.webhooks.is_accepting());
        let answer = acme.ask(acme.request("order.paid", "evt_1")).await;
        assert_come_back(&answer, RejectionKind::Draining, form);
        let mut forged = acme.request("order.paid", "evt_1");
        forged.headers_mut().remove("x-acme-signature");
        let answer = acme.ask(forged).await;
        assert_eq!(
            answer.summary(),
            refused(401, RejectionKind::SignatureMissing)
        );
        assert!(acme.inbox.all().await.is_empty(), "{form:?}");
    }
}

#[tokio::test]
async fn what_outlives_its_receiver_says_503() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        let (app, good) = (acme.app.clone(), acme.request("order.paid", "evt_1"));
        let inbox = acme.inbox.clone();
        drop(acme);
        let answer = ask(app, good).await;
        assert_come_back(&answer, RejectionKind::Draining, form);
        assert!(inbox.all().await.is_empty(), "{form:?}");
    }
}

#[tokio::test]
async fn an_inbox_that_is_away_or_full_is_503_and_the_redelivery_passes() {
    for form in Form::BOTH {
        for kind in [
            InboxErrorKind::Full,
            InboxErrorKind::Unavailable,
            InboxErrorKind::Data,
        ] {
            let acme = Acme::start(form).await;
            acme.inbox.fail(Some(kind));
            let answer = acme.ask(acme.request("order.paid", "evt_1")).await;
            assert_come_back(&answer, RejectionKind::InboxUnavailable, form);
            assert!(acme.inbox.all().await.is_empty(), "{form:?}, {kind:?}");

            acme.inbox.fail(None);
            let answer = acme.ask(acme.request("order.paid", "evt_1")).await;
            assert_eq!(answer.summary(), ACCEPTED, "{form:?}, {kind:?}");
            assert_eq!(acme.inbox.all().await.len(), 1, "{form:?}, {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_full_queue_before_the_inbox_is_503() {
    for form in Form::BOTH {
        let acme = Acme::start_with(
            form,
            |builder| {
                let one = CommitterOptions::new()
                    .with_max_batch_events(1)
                    .with_max_queued_events(1);
                builder.with_committer(one)
            },
            |endpoint| endpoint,
        )
        .await;
        acme.inbox.hold(true);
        let stored = tokio::spawn(ask(acme.app.clone(), acme.request("order.paid", "stored")));
        soon(acme.inbox.arrived(1)).await;
        let mut queued = Vec::new();
        // The committer may hold one beside the queue's one.
        let overflow = loop {
            let id = format!("queued-{}", queued.len());
            let mut sent = tokio::spawn(ask(acme.app.clone(), acme.request("order.paid", &id)));
            tokio::select! {
                biased;
                answer = &mut sent => break answer.unwrap(),
                () = turns() => queued.push(sent),
            }
            assert!(queued.len() <= 2, "{form:?}: the queue has no bound");
        };
        assert_come_back(&overflow, RejectionKind::InboxUnavailable, form);

        acme.inbox.hold(false);
        assert_eq!(soon(stored).await.unwrap().summary(), ACCEPTED, "{form:?}");
        for waiting in queued {
            assert_eq!(soon(waiting).await.unwrap().summary(), ACCEPTED, "{form:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_inbox_that_falls_silent_is_503_in_time_and_what_it_has_is_known_later() {
    for form in Form::BOTH {
        for (limit, seconds) in [(None, 5), (Some(Duration::from_secs(2)), 2)] {
            let acme = Acme::start_with(
                form,
                |builder| match limit {
                    Some(limit) => builder.with_store_timeout(limit),
                    None => builder,
                },
                |endpoint| endpoint,
            )
            .await;
            acme.inbox.hold(true);
            let began = Instant::now();
            let answer = acme.ask(acme.request("order.paid", "evt_1")).await;
            assert_come_back(&answer, RejectionKind::InboxUnavailable, form);
            assert_eq!(began.elapsed().as_secs(), seconds, "{form:?}");
            assert_ne!(acme.webhooks.bytes_in_flight(), 0, "it still waits");

            acme.inbox.hold(false);
            let answer = acme.ask(acme.request("order.paid", "evt_1")).await;
            assert_eq!(answer.summary(), ACCEPTED, "{form:?}");
            assert_eq!(acme.inbox.all().await.len(), 1, "{form:?}: once");
            assert_eq!(acme.webhooks.bytes_in_flight(), 0, "{form:?}");
        }
    }
}

#[tokio::test]
async fn bodies_beyond_the_cap_of_all_bytes_in_flight_are_503() {
    for form in Form::BOTH {
        let text = body("order.paid", "evt_1");
        let acme = Acme::start_with(
            form,
            |builder| builder.with_max_bytes_in_flight(2 * text.len() - 1),
            |endpoint| endpoint,
        )
        .await;
        acme.inbox.hold(true);
        let first = tokio::spawn(ask(acme.app.clone(), acme.signed(text.clone())));
        soon(acme.inbox.arrived(1)).await;
        assert_eq!(acme.webhooks.bytes_in_flight(), text.len(), "{form:?}");
        let beyond = acme.ask(acme.request("order.paid", "evt_2")).await;
        assert_come_back(&beyond, RejectionKind::Overloaded, form);

        acme.inbox.hold(false);
        assert_eq!(soon(first).await.unwrap().summary(), ACCEPTED, "{form:?}");
        assert_eq!(acme.webhooks.bytes_in_flight(), 0, "{form:?}");
        let again = acme.ask(acme.request("order.paid", "evt_2")).await;
        assert_eq!(again.summary(), ACCEPTED, "{form:?}");
    }
}

/// Knows one tenant, fails for another, and never answers for a third.
struct Tenants;

impl SecretSource for Tenants {
    fn key(&self, parts: &http::request::Parts) -> Option<Text> {
        parts.headers.get("x-tenant")?.to_str().ok().map(Text::from)
    }

    async fn look_up(
        &self,
        key: Text,
    ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
        match key.as_str() {
            "known" => Ok(Some(Tenant::new(key, Secrets::new(SECRET)?))),
            "broken" => Err("the table of tenants is locked".into()),
            "slow" => std::future::pending().await,
            _ => Ok(None),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_fails_is_503_a_slow_one_after_a_second_and_an_unknown_tenant_401() {
    for form in Form::BOTH {
        let acme = Acme::start_with(
            form,
            |builder| builder,
            |_| Endpoint::multi_tenant("acme", acme(), Tenants),
        )
        .await;
        for (tenant, expected) in [
            (Some("known"), ACCEPTED),
            (
                Some("broken"),
                refused(503, RejectionKind::SecretLookupFailed),
            ),
            (
                Some("slow"),
                refused(503, RejectionKind::SecretLookupFailed),
            ),
            (Some("nobody"), refused(401, RejectionKind::TenantUnknown)),
            (None, refused(401, RejectionKind::TenantUnknown)),
        ] {
            let mut request = acme.request("order.paid", "evt_1");
            if let Some(tenant) = tenant {
                let value = HeaderValue::from_static(tenant);
                request.headers_mut().insert("x-tenant", value);
            }
            // Whatever is refused is refused with its body unread.
            let (request, taken) = if expected == ACCEPTED {
                (request, Arc::default())
            } else {
                endless(request)
            };
            let began = Instant::now();
            let answer = acme.ask(request).await;
            assert_eq!(answer.summary(), expected, "{form:?}, {tenant:?}");
            assert_eq!(
                answer.headers.contains_key(header::RETRY_AFTER),
                expected.0 == 503
            );
            assert_eq!(taken.load(Ordering::Relaxed), 0, "{form:?}, {tenant:?}");
            let waited = began.elapsed().as_secs();
            assert_eq!(
                waited,
                u64::from(tenant == Some("slow")),
                "{form:?}, {tenant:?}"
            );
        }
        assert_eq!(acme.inbox.all().await.len(), 1, "{form:?}");
    }
}
