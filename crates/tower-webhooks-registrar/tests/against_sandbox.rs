//! The clients against the sandbox's management APIs, over real HTTP.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::response::IntoResponse as _;
use support::{URL, cryptomate, devdraft, listen, m2m, monterrey, mppcash, secret, serve, wish};
use tower_webhooks_registrar::{
    Confidential, Devdraft, Ensure, Error, ErrorKind, ManagementApi, Monterrey, NewLink, Plan,
    Registration, Wish, ensure,
};
use tower_webhooks_sandbox::Sandbox;

fn sandbox() -> Sandbox {
    Sandbox::builder().start().unwrap()
}

#[tokio::test]
async fn mppcash_creates_and_shows_the_secret_that_it_made_up() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = mppcash(&at);
    let threshold = "50".parse().unwrap();
    let wish = wish()
        .with_events(["session.*", "balance.low_threshold"])
        .with_low_balance_threshold_usdc(threshold);
    let made = api.create(&wish).await.unwrap();
    let known = &sandbox.registrations()[0];
    assert_eq!(made.secret.unwrap().expose(), known.secret());
    assert_eq!(made.id.as_ref(), Some(&known.id));
    assert_eq!(known.url, URL);
    let events = [
        "balance.low_threshold",
        "session.cap_warning",
        "session.settled",
    ];
    assert_eq!(known.events.as_deref().unwrap(), events);
    assert_eq!(
        known.low_balance_threshold_usdc.as_ref().unwrap().as_u64(),
        Some(50)
    );
    for result in [api.get("wh_1").await, api.rotate("wh_1", &secret()).await] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!(api.list().await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn monterrey_creates_lists_and_deletes() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = monterrey(&at);
    let wish = wish()
        .with_events(["payment.confirmed"])
        .with_secret(secret());
    let made = api.create(&wish).await.unwrap();
    assert_eq!(sandbox.registrations()[0].secret(), secret().expose());
    assert_eq!(api.list().await.unwrap(), std::slice::from_ref(&made));
    let id = made.id.unwrap();
    api.delete(&id).await.unwrap();
    assert_eq!(
        api.delete(&id).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(api.list().await.unwrap(), []);
}

#[tokio::test]
async fn cryptomate_sets_its_one_url_and_rotates_its_one_key() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = cryptomate(&at);
    let made = api.create(&wish().with_secret(secret())).await.unwrap();
    assert_eq!(made.url.as_deref(), Some(URL));
    let new = Confidential::generate();
    api.rotate("", &new).await.unwrap();
    let other = Wish::new("http://127.0.0.1:9/other").with_secret(new.clone());
    api.create(&other).await.unwrap();
    let known = sandbox.registrations();
    assert_eq!(known.len(), 1);
    assert_eq!(
        (known[0].secret(), known[0].url.as_str()),
        (new.expose(), "http://127.0.0.1:9/other")
    );
}

#[tokio::test]
async fn devdraft_has_every_call() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = devdraft(&at);
    let named = wish().with_name("Orders");
    let made = api.create(&named).await.unwrap();
    let id = made.id.clone().unwrap();
    assert_eq!(
        made.secret.as_ref().unwrap().expose(),
        sandbox.registrations()[0].secret()
    );
    assert_eq!(api.get(&id).await.unwrap(), made);
    let changed = api
        .update(&id, &wish().with_name("Paid").inactive())
        .await
        .unwrap();
    assert_eq!(
        (changed.name.as_deref(), changed.active),
        (Some("Paid"), Some(false))
    );
    assert_eq!(
        sandbox.registrations()[0].secret(),
        made.secret.unwrap().expose(),
        "changing does not rotate in passing"
    );
    api.rotate(&id, &secret()).await.unwrap();
    assert_eq!(sandbox.registrations()[0].secret(), secret().expose());
    for _ in 0..60 {
        api.create(&named.clone().with_secret(secret()))
            .await
            .unwrap();
    }
    assert_eq!(api.list().await.unwrap().len(), 61, "over two pages");
    api.delete(&id).await.unwrap();
    assert_eq!(api.get(&id).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn devdraft_shows_what_it_encrypts_with_once_it_does() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = devdraft(&at);
    let named = wish().with_name("Orders").with_secret(secret());
    let plain = api.create(&named).await.unwrap();
    assert_eq!((plain.encrypted, plain.payload_secret), (Some(false), None));
    let id = plain.id.unwrap();
    let changed = api.update(&id, &named.clone().encrypted()).await.unwrap();
    let made = api.create(&named.encrypted()).await.unwrap();
    for (shown, known) in [changed, made].into_iter().zip(sandbox.registrations()) {
        assert_eq!(shown.encrypted, Some(true));
        let shown = shown.payload_secret.unwrap();
        assert_eq!(Some(shown.expose()), known.payload_secret());
    }
}

#[tokio::test]
async fn m2m_gives_a_link_its_own_url_and_registers_nothing_else() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = m2m(&at);
    let link = NewLink::new("user_1")
        .with_callback_url(URL)
        .with_expires_in_minutes(5);
    let made = api.create_link(&link).await.unwrap();
    assert!(made.link_id.starts_with("link_"));
    let error = api.create_link(&link).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused { status: 409 });
    assert!(error.to_string().contains("active link"), "{error}");
    for (link, field) in [
        (NewLink::new(""), "reference_id"),
        (NewLink::new("u").with_callback_url("x"), "callback_url"),
        (
            NewLink::new("u").with_callback_url("http://a.example"),
            "callback_url",
        ),
        (
            NewLink::new("u").with_expires_in_minutes(4),
            "expires_in_minutes",
        ),
        (
            NewLink::new("u").with_expires_in_minutes(10_081),
            "expires_in_minutes",
        ),
    ] {
        let error = api.create_link(&link).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid { field });
    }
    let error = api.create(&wish()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let ensured = ensure(&api, &wish(), Ensure::ForceCreate).await.unwrap();
    assert_eq!(ensured.plan, Plan::Unsupported);
}

#[tokio::test]
async fn a_wrong_field_is_named_and_nothing_is_sent() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let (mppcash, monterrey) = (mppcash(&at), monterrey(&at));
    let (cryptomate, devdraft) = (cryptomate(&at), devdraft(&at));
    let confirmed = || {
        wish()
            .with_events(["payment.confirmed"])
            .with_secret(secret())
    };
    let settled = || wish().with_events(["transfer.settled"]);
    let named = || wish().with_name("Orders");
    let at_url = |url: &str| {
        Wish::new(url)
            .with_events(["payment.confirmed"])
            .with_secret(secret())
    };
    let short = || Confidential::new("a".repeat(31));

    assert!(mppcash.check(&settled()).is_ok() && monterrey.check(&confirmed()).is_ok());
    assert!(cryptomate.check(&wish().with_secret(secret())).is_ok());
    assert!(devdraft.check(&named()).is_ok());

    let mut found = Vec::new();
    for (wish, field) in [
        (wish(), "events"),
        (settled().with_events(["transfer.lost"]), "events"),
        (settled().with_secret(secret()), "secret"),
        (settled().with_name("Orders"), "name"),
        (settled().inactive(), "active"),
        (settled().encrypted(), "encrypted"),
        (
            settled().with_low_balance_threshold_usdc("-1".parse().unwrap()),
            "low_balance_threshold_usdc",
        ),
    ] {
        found.push((mppcash.create(&wish).await.unwrap_err(), field));
    }
    for (wish, field) in [
        (at_url("shop.example"), "url"),
        (at_url("http://shop.example"), "url"),
        (wish().with_events(["payment.confirmed"]), "secret"),
        (confirmed().with_secret(Confidential::new(" ")), "secret"),
        (confirmed().with_events(["payment.*ed", "x"]), "events"),
        (confirmed().with_name("Orders"), "name"),
    ] {
        found.push((monterrey.create(&wish).await.unwrap_err(), field));
    }
    for (wish, field) in [
        (wish(), "secret"),
        (wish().with_secret(Confidential::new("")), "secret"),
        (wish().with_secret(Confidential::new("a\nb")), "secret"),
        (Wish::new("ftp://a.example").with_secret(secret()), "url"),
    ] {
        found.push((cryptomate.create(&wish).await.unwrap_err(), field));
    }
    for (wish, field) in [
        (wish(), "name"),
        (wish().with_name("ab"), "name"),
        (wish().with_name("é".repeat(101)), "name"),
        (named().with_secret(short()), "secret"),
        (
            named().with_secret(Confidential::new("a b".repeat(20))),
            "secret",
        ),
        (Wish::new("/hook").with_name("Orders"), "url"),
    ] {
        found.push((devdraft.create(&wish).await.unwrap_err(), field));
    }
    found.push((
        devdraft.rotate("wh_1", &short()).await.unwrap_err(),
        "secret",
    ));
    for id in ["", ".", ".."] {
        found.push((devdraft.delete(id).await.unwrap_err(), "id"));
        found.push((monterrey.delete(id).await.unwrap_err(), "id"));
    }
    for (error, field) in found {
        assert_eq!(error.kind(), ErrorKind::Invalid { field }, "{error}");
        assert!(error.to_string().starts_with(field), "{error}");
        assert!(!error.to_string().contains("aaa"), "no secret in {error}");
    }
    assert_eq!(sandbox.registrations(), []);
}

#[tokio::test]
async fn ensuring_creates_once_replaces_when_handlers_change_and_then_rests() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = monterrey(&at);
    let wish = wish()
        .with_events(["payment.confirmed"])
        .with_secret(secret());
    // Another endpoint of the same account is nobody's business.
    let other = Wish::new("http://127.0.0.1:9/other")
        .with_events(["payment.failed"])
        .with_secret(secret());
    api.create(&other).await.unwrap();
    let urls = || {
        let known = sandbox.registrations().into_iter();
        known
            .map(|one| (one.url, one.events.unwrap()))
            .collect::<Vec<_>>()
    };

    let dry = ensure(&api, &wish, Ensure::DryRun).await.unwrap();
    assert_eq!((dry.plan, dry.registration), (Plan::Create, None));
    assert_eq!(urls().len(), 1);
    let first = ensure(&api, &wish, Ensure::Apply).await.unwrap();
    assert_eq!(first.plan, Plan::Create);
    for how in [Ensure::Apply, Ensure::DryRun, Ensure::ForceCreate] {
        let again = ensure(&api, &wish, how).await.unwrap();
        assert_eq!(again.plan, Plan::Unchanged);
        assert_eq!(again.registration, first.registration);
    }
    // Another spelling of the same URL, and another URL.
    for (url, plan) in [
        ("HTTP://127.0.0.1:9/a/../hook", Plan::Unchanged),
        ("http://127.0.0.1:9/hook/", Plan::Create),
    ] {
        let spelled = Wish::new(url).with_events(["payment.confirmed"]);
        let spelled = spelled.with_secret(secret());
        let dry = ensure(&api, &spelled, Ensure::DryRun).await.unwrap();
        assert_eq!(dry.plan, plan, "{url}");
    }
    let more = wish
        .clone()
        .with_events(["payment.expired", "payment.confirmed"]);
    let old = first.registration.unwrap().id.unwrap();
    let dry = ensure(&api, &more, Ensure::DryRun).await.unwrap();
    assert_eq!(
        (dry.plan, &dry.deleted),
        (Plan::Replace, &vec![old.clone()])
    );
    assert_eq!(urls().len(), 2);
    let replaced = ensure(&api, &more, Ensure::Apply).await.unwrap();
    assert_eq!(
        (replaced.plan, replaced.deleted),
        (Plan::Replace, vec![old])
    );
    let expected = vec!["payment.confirmed".to_owned(), "payment.expired".to_owned()];
    assert_eq!(urls().len(), 2);
    assert_eq!(urls()[1], (URL.to_owned(), expected));
    assert_eq!(
        ensure(&api, &more, Ensure::Apply).await.unwrap().plan,
        Plan::Unchanged
    );
}

#[tokio::test]
async fn what_could_not_be_deleted_is_deleted_by_the_next_run() {
    let sandbox = sandbox();
    let refuses = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&refuses);
    let refuse_deletes = axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| {
            let refuses = switch.load(Ordering::Relaxed);
            async move {
                if refuses && request.method() == http::Method::DELETE {
                    return http::StatusCode::BAD_GATEWAY.into_response();
                }
                next.run(request).await
            }
        },
    );
    let at = listen(sandbox.router().layer(refuse_deletes)).await;
    let api = monterrey(&at);
    let of = |events: &[&str]| {
        let events = events.iter().copied();
        wish().with_events(events).with_secret(secret())
    };
    let id = |made: Result<Registration, Error>| made.unwrap().id.unwrap();
    let old = id(api.create(&of(&["payment.confirmed"])).await);
    // The same URL has other registrations, with nothing of the wish.
    let other = id(api.create(&of(&["payment.failed"])).await);
    let wish = of(&["payment.confirmed", "payment.expired"]);
    let error = ensure(&api, &wish, Ensure::Apply).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotDeleted);
    assert!(error.to_string().contains(&old), "{error}");
    assert_eq!(sandbox.registrations().len(), 3);
    // As long as it cannot be deleted, a run again is no success.
    let error = ensure(&api, &wish, Ensure::Apply).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotDeleted);

    refuses.store(false, Ordering::Relaxed);
    let twin = id(api.create(&wish).await);
    for how in [Ensure::DryRun, Ensure::Apply] {
        let again = ensure(&api, &wish, how).await.unwrap();
        assert_eq!(again.plan, Plan::Unchanged);
        assert_eq!(again.deleted, std::slice::from_ref(&old));
        assert_eq!(again.others, [other.clone(), twin.clone()]);
    }
    let left = sandbox.registrations();
    let left: Vec<_> = left.iter().map(|one| one.id.as_str()).collect();
    assert_eq!((left.len(), left[0], left[2]), (3, &*other, &*twin));
    let again = ensure(&api, &wish, Ensure::Apply).await.unwrap();
    assert_eq!((again.plan, again.deleted.len()), (Plan::Unchanged, 0));
}

#[tokio::test]
async fn a_registration_of_other_event_types_at_the_same_url_is_left_alone() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = monterrey(&at);
    let of = |event| wish().with_events([event]).with_secret(secret());
    let other = api.create(&of("payment.failed")).await.unwrap();
    let made = ensure(&api, &of("payment.confirmed"), Ensure::Apply).await;
    let made = made.unwrap();
    assert_eq!((made.plan, made.deleted), (Plan::Create, Vec::new()));
    assert_eq!(made.others, [other.id.unwrap()]);
    assert_eq!(sandbox.registrations().len(), 2);
}

#[tokio::test]
async fn changing_leaves_what_the_wish_does_not_say() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = devdraft(&at);
    let named = wish().with_name("Orders");
    let sealed = named.clone().inactive().encrypted();
    let id = api.create(&sealed).await.unwrap().id.unwrap();
    for (wish, active, encrypted) in [
        (named.clone(), false, true),
        (named.clone().active(), true, true),
        (named.clone().unencrypted(), true, false),
        (named.clone(), true, false),
        (named.clone().inactive(), false, false),
    ] {
        let changed = api.update(&id, &wish).await.unwrap();
        let expected = (Some(active), Some(encrypted));
        assert_eq!((changed.active, changed.encrypted), expected, "{wish:?}");
    }
    // Ensuring leaves nothing open.
    let ensured = ensure(&api, &named, Ensure::Apply).await.unwrap();
    assert_eq!(ensured.plan, Plan::Update);
    assert_eq!(ensured.registration.unwrap().active, Some(true));
}

#[tokio::test]
async fn ensuring_changes_where_there_is_a_call_for_it() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = devdraft(&at);
    let asleep = wish().with_name("Orders").inactive();
    let made = api.create(&asleep).await.unwrap();
    let twin = api.create(&asleep).await.unwrap();
    let wish = wish().with_name("Orders");
    let ensured = ensure(&api, &wish, Ensure::Apply).await.unwrap();
    assert_eq!(ensured.plan, Plan::Update);
    assert_eq!(ensured.registration.unwrap().id, made.id);
    assert_eq!(ensured.others, [twin.id.unwrap()], "named, and left alone");
    let known = sandbox.registrations();
    assert_eq!([known[0].is_active, known[1].is_active], [true, false]);
    assert_eq!(known[0].secret(), made.secret.unwrap().expose());
    assert_eq!(
        ensure(&api, &wish, Ensure::Apply).await.unwrap().plan,
        Plan::Unchanged
    );
}

#[tokio::test]
async fn where_nothing_can_be_listed_only_force_creates() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let api = mppcash(&at);
    let wish = wish().with_events(["*"]);
    for how in [Ensure::DryRun, Ensure::Apply] {
        let ensured = ensure(&api, &wish, how).await.unwrap();
        assert_eq!(
            (ensured.plan, ensured.registration),
            (Plan::Unsupported, None)
        );
    }
    assert_eq!(sandbox.registrations(), []);
    let forced = ensure(&api, &wish, Ensure::ForceCreate).await.unwrap();
    assert_eq!(forced.plan, Plan::Create);
    assert!(forced.registration.unwrap().secret.is_some());
    let forced = ensure(
        &cryptomate(&at),
        &support::wish().with_secret(secret()),
        Ensure::ForceCreate,
    )
    .await;
    assert_eq!(forced.unwrap().plan, Plan::Create);
    assert_eq!(sandbox.registrations().len(), 2);
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_shown_nowhere() {
    let sandbox = sandbox();
    let at = serve(&sandbox).await;
    let key = Confidential::new("mk_live_swordfish");
    let base = format!("{}/monterrey", at.base);
    let api = Monterrey::new(key.clone())
        .unwrap()
        .with_base_url(&base)
        .unwrap();
    let error = api.list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let devdraft = Devdraft::new(key.clone(), key).unwrap();
    let wish = wish().with_secret(Confidential::new("swordfish"));
    for shown in [
        format!("{error} {error:?}"),
        format!("{api:?}"),
        format!("{devdraft:?}"),
        format!("{wish:?}"),
    ] {
        assert!(!shown.contains("swordfish"), "{shown}");
    }
    let unfit = Monterrey::new(Confidential::new("a\nb")).unwrap_err();
    assert_eq!(unfit.kind(), ErrorKind::Invalid { field: "key" });
}
