//! What is delivered, when, and what becomes of it, over real sockets.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::{future::pending, time::Duration};

use http::StatusCode;
use support::{Receiver, SECOND, event};
use tower_webhooks_core::{
    Provider,
    provider::{Envelope, HmacScheme, Part, Retries, Scheme, SignedAnew, SignedTimestamp},
    providers,
};
use tower_webhooks_sandbox::{NewRegistration, Outcome, Sandbox, Schedule, Source, State, Trigger};

const MINUTE: Duration = Duration::from_secs(60);

fn sandbox() -> Sandbox {
    Sandbox::builder().start().unwrap()
}

#[tokio::test]
async fn every_event_of_every_provider_arrives_authentic() {
    for provider in providers::all() {
        let name = provider.name().as_str();
        let receiver = Receiver::willing().await;
        let sandbox = sandbox();
        let registered = sandbox
            .register(NewRegistration::new(name, receiver.url()))
            .unwrap();
        for known in &provider.events().list {
            let trigger = Trigger::new(name, known.name.clone());
            let ids = sandbox.trigger(&trigger).unwrap();
            let dispatch = sandbox.attempted(&ids[0], 1).await.unwrap();
            assert_eq!(dispatch.state, State::Delivered, "{dispatch:?}");
            assert_eq!(dispatch.attempts.len(), 1);
        }
        let deliveries = receiver.deliveries(&registered);
        let types: Vec<_> = deliveries
            .iter()
            .map(|one| event(one).event_type())
            .collect();
        let known = provider.events().list.iter().map(|event| &event.name);
        assert_eq!(types, known.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn each_trigger_is_another_event_of_every_provider() {
    for provider in providers::all() {
        let name = provider.name().as_str();
        let receiver = Receiver::willing().await;
        let sandbox = sandbox();
        let new = NewRegistration::new(name, receiver.url());
        let registered = sandbox.register(new).unwrap();
        let first = provider.events().list[0].name.clone();
        for _ in 0..2 {
            let ids = sandbox.trigger(&Trigger::new(name, first.clone())).unwrap();
            sandbox.attempted(&ids[0], 1).await.unwrap();
        }
        let deliveries = receiver.deliveries(&registered);
        let [first, second] = [0, 1].map(|index: usize| &deliveries[index]);
        let ids = [first, second].map(|one| event(one).id().cloned());
        match provider.envelope().id() {
            Some(_) => assert_ne!(ids[0], ids[1], "{name}"),
            None => assert_ne!(first.body(), second.body(), "{name}"),
        }
    }
}

#[tokio::test]
async fn a_private_key_stays_with_the_sandbox_and_its_public_half_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sandbox.json");
    for name in [
        "discord",
        "sendgrid",
        "standard-webhooks-ed25519",
        "wechat-pay",
    ] {
        let receiver = Receiver::willing().await;
        let sandbox = Sandbox::builder().with_file(&file).start().unwrap();
        let new = NewRegistration::new(name, receiver.url());
        let registered = sandbox.register(new).unwrap();
        // Whoever starts the sandbox again has the same keys.
        sandbox.stop();
        let sandbox = Sandbox::builder().with_file(&file).start().unwrap();
        let provider = providers::find(name).unwrap();
        let first = provider.events().list[0].name.clone();
        let ids = sandbox.trigger(&Trigger::new(name, first)).unwrap();
        let dispatch = sandbox.attempted(&ids[0], 1).await.unwrap();
        assert_eq!(dispatch.state, State::Delivered, "{dispatch:?}");
        event(&receiver.deliveries(&registered)[0]);

        let kept: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let kept = kept.as_array().unwrap().last().unwrap();
        let private = kept["private_key"].as_str().unwrap();
        assert_ne!(private, registered.secret(), "{name}");
        assert!(!format!("{registered:?}").contains(private), "{name}");
        let (_, _, told) = support::call(&sandbox, "GET", "/_sandbox/registrations", &[], "").await;
        let told = told.to_string();
        let told = told.replace("\\n", "\n");
        assert!(
            !told.contains(private) && !told.contains(registered.secret()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_secret_that_a_provider_could_not_have_is_refused() {
    let sandbox = sandbox();
    let url = "http://127.0.0.1:1/hook";
    for (provider, secret, why) in [
        ("adyen", "no hexadecimal", "is not in the form"),
        ("standard-webhooks", "whsec_c2hvcnQ=", "is shorter than"),
        ("discord", "swordfish", "is not in the form"),
        ("monterrey", " ", "is empty"),
    ] {
        let new = NewRegistration::new(provider, url).with_secret(secret);
        let refused = sandbox.register(new).unwrap_err().to_string();
        assert!(refused.starts_with("the secret: "), "{refused}");
        assert!(refused.contains(why), "{refused}");
    }
    let new = NewRegistration::new("wechat-pay", url).with_payload_secret("too short");
    let refused = sandbox.register(new).unwrap_err().to_string();
    assert!(refused.contains("is shorter than"), "{refused}");
    assert!(sandbox.registrations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn attempts_come_when_the_documents_say_and_then_it_has_failed() {
    let wechat_pay = vec![
        0.0, 0.25, 0.5, 1.0, 4.0, 14.0, 34.0, 64.0, 94.0, 124.0, 184.0, 364.0, 544.0, 724.0,
        1_084.0, 1_444.0,
    ];
    let svix = [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 99_305];
    let svix = svix.map(|seconds| f64::from(seconds) / 60.0).to_vec();
    let documented = [
        ("github", "push", vec![0.0]),
        (
            "lark",
            "contact.user.created_v3",
            vec![0.0, 0.25, 5.25, 65.25, 425.25],
        ),
        ("linear", "Issue.create", vec![0.0, 1.0, 61.0, 421.0]),
        ("m2m", "link.opened", vec![0.0, 1.0, 6.0, 36.0, 156.0]),
        (
            "mailgun",
            "delivered",
            vec![0.0, 5.0, 15.0, 30.0, 90.0, 210.0, 450.0],
        ),
        (
            "monterrey",
            "payment.confirmed",
            vec![0.0, 1.0, 6.0, 36.0, 156.0, 1_596.0],
        ),
        ("slack", "app_mention", vec![0.0, 0.0, 1.0, 6.0]),
        ("svix", "contact.created", svix),
        ("wechat-pay", "TRANSACTION.SUCCESS", wechat_pay),
        ("zoom", "meeting.started", vec![0.0, 5.0, 25.0, 85.0]),
    ];
    let all = providers::all();
    let known = all
        .iter()
        .filter(|known| Schedule::of(known).delays_from == Source::Documented);
    let known = known.map(|known| known.name().as_str());
    assert!(known.eq(documented.iter().map(|(provider, ..)| *provider)));
    for (provider, event, minutes) in documented {
        for scale in [1.0, 8_640.0] {
            let sandbox = Sandbox::builder().with_time_scale(scale).start().unwrap();
            let refusing = Receiver::start(async |_| StatusCode::SERVICE_UNAVAILABLE).await;
            let new = NewRegistration::new(provider, refusing.url());
            let registered = sandbox.register(new).unwrap();
            let ids = sandbox.trigger(&Trigger::new(provider, event)).unwrap();
            let dispatch = sandbox.ended(&ids[0]).await.unwrap();

            assert_eq!(dispatch.state, State::Failed);
            let came: Vec<f64> = dispatch
                .attempts
                .iter()
                .map(|attempt| attempt.after.as_secs_f64() * scale / 60.0)
                .collect();
            assert_eq!(came.len(), minutes.len());
            // The clock ticks in milliseconds, which a wait of 15 s compressed to 2 of
            // them feels.
            let mut ticks = 0.0;
            for (came, documented) in came.iter().zip(&minutes) {
                assert!(
                    (came - documented).abs() <= ticks + documented * 0.05,
                    "{provider} x {scale}: {came} min for {documented} min"
                );
                if *documented < 1.0 {
                    ticks += 0.001 * scale / 60.0;
                }
            }
            let deliveries = refusing.deliveries(&registered);
            assert_eq!(deliveries.len(), minutes.len());
            // These have the time in the body, or seal it anew.
            let is_changed = ["lark", "linear", "mailgun", "wechat-pay"].contains(&provider);
            let ids = deliveries.iter().map(|one| support::event(one).id());
            let ids: Vec<_> = ids.collect();
            assert!(ids.iter().all(|id| *id == ids[0]), "{provider}");
            let mut bodies = deliveries.iter().map(|one| one.body());
            let is_same = bodies.all(|body| body == deliveries[0].body());
            assert!(is_same || is_changed, "{provider}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_the_deadline_is_none_and_is_tried_again() {
    let receiver = Receiver::start(async |number| {
        if number == 1 {
            pending::<()>().await;
        }
        StatusCode::OK
    })
    .await;
    let sandbox = sandbox();
    let new = NewRegistration::new("monterrey", receiver.url());
    sandbox.register(new).unwrap();
    let trigger = Trigger::new("monterrey", "payment.confirmed");
    let ids = sandbox.trigger(&trigger).unwrap();
    let dispatch = sandbox.ended(&ids[0]).await.unwrap();
    assert_eq!(dispatch.state, State::Delivered);
    assert_eq!(dispatch.attempts[0].outcome, Outcome::TimedOut);
    let took = dispatch.attempts[0].took;
    assert!(took >= 30 * SECOND && took < 31 * SECOND, "{took:?}");
    let second = dispatch.attempts[1].after;
    let due = 30 * SECOND + MINUTE;
    assert!(second >= due && second < due + SECOND, "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_was_away_gets_it_when_it_is_back() {
    let receiver = Receiver::willing().await;
    let address = receiver.address;
    let sandbox = sandbox();
    let url = receiver.url();
    sandbox.register(NewRegistration::new("m2m", url)).unwrap();
    drop(receiver);
    // The address is free again once the task is gone.
    tokio::task::yield_now().await;
    let ids = sandbox
        .trigger(&Trigger::new("m2m", "link.opened"))
        .unwrap();
    let away = sandbox.attempted(&ids[0], 2).await.unwrap();
    assert_eq!(away.state, State::Pending);
    assert!(
        matches!(away.attempts[1].outcome, Outcome::Broken(_)),
        "{away:?}"
    );

    let receiver = Receiver::on(address, async |_| "OK").await;
    let back = sandbox.ended(&ids[0]).await.unwrap();
    assert_eq!((back.state, back.attempts.len()), (State::Delivered, 3));
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let target = Receiver::willing().await;
    let url = target.url();
    let moved = Receiver::start(move |_| {
        let url = url.clone();
        async move { (StatusCode::TEMPORARY_REDIRECT, [("location", url)]) }
    })
    .await;
    let sandbox = sandbox();
    let new = NewRegistration::new("monterrey", moved.url());
    sandbox.register(new).unwrap();
    let trigger = Trigger::new("monterrey", "payment.confirmed");
    let ids = sandbox.trigger(&trigger).unwrap();
    let dispatch = sandbox.attempted(&ids[0], 1).await.unwrap();
    sandbox.stop();
    assert!(matches!(
        dispatch.attempts[0].outcome,
        Outcome::Answered { status: 307, .. }
    ));
    assert_eq!((moved.count(), target.count()), (1, 0));
}

#[tokio::test]
async fn only_the_types_that_were_asked_for_are_sent() {
    let receiver = Receiver::willing().await;
    let sandbox = sandbox();
    let new = NewRegistration::new("monterrey", receiver.url()).with_events(["payment.expired"]);
    sandbox.register(new).unwrap();
    let confirmed = Trigger::new("monterrey", "payment.confirmed");
    assert!(sandbox.trigger(&confirmed).unwrap().is_empty());
    let expired = Trigger::new("monterrey", "payment.expired");
    let ids = sandbox.trigger(&expired).unwrap();
    sandbox.ended(&ids[0]).await.unwrap();
    assert_eq!(receiver.bodies()[0]["event"], "payment.expired");
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn nothing_is_sent_beyond_this_machine_unless_asked() {
    let sandbox = sandbox();
    let new = NewRegistration::new("monterrey", "https://shop.invalid/webhooks");
    sandbox.register(new).unwrap();
    let trigger = Trigger::new("monterrey", "payment.confirmed");
    let ids = sandbox.trigger(&trigger).unwrap();
    let dispatch = sandbox.attempted(&ids[0], 1).await.unwrap();
    sandbox.stop();
    let Outcome::NotSent(why) = &dispatch.attempts[0].outcome else {
        panic!("{dispatch:?}");
    };
    assert!(why.contains("not on this machine"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_by_hand_is_one_attempt_and_ends_the_others() {
    let receiver = Receiver::start(async |number| match number {
        1 => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    })
    .await;
    let sandbox = sandbox();
    let new = NewRegistration::new("monterrey", receiver.url());
    sandbox.register(new).unwrap();
    let trigger = Trigger::new("monterrey", "payment.confirmed");
    let id = sandbox.trigger(&trigger).unwrap().remove(0);
    sandbox.attempted(&id, 1).await.unwrap();
    let dispatch = sandbox.redeliver(&id).await.unwrap();
    assert_eq!(dispatch.state, State::Delivered);
    assert!(dispatch.attempts[1].by_hand);
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(
        receiver.count(),
        2,
        "the retry after a minute was not needed"
    );
    assert_eq!(sandbox.redeliver("dsp_unknown").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_signed_anew_unless_the_provider_repeats_itself() {
    let timestamp = SignedTimestamp::in_header(http::HeaderName::from_static("x-time"));
    let scheme = HmacScheme::new(http::HeaderName::from_static("x-signature"))
        .with_signed([Part::Timestamp, Part::Body])
        .with_timestamp(timestamp);
    for (anew, differ) in [(SignedAnew::No, false), (SignedAnew::Yes, true)] {
        let provider = Provider::new("acme", Scheme::Hmac(scheme.clone()), Envelope::new("/type"))
            .with_retries(Retries::after([MINUTE]).with_signed_anew(anew));
        let clock = tower_webhooks_core::ManualClock::at(std::time::SystemTime::now());
        let sandbox = Sandbox::builder()
            .add_provider(provider)
            .with_clock(clock.clone())
            .start()
            .unwrap();
        let receiver = Receiver::start(async |_| StatusCode::BAD_GATEWAY).await;
        let new = NewRegistration::new("acme", receiver.url()).with_secret("swordfish");
        sandbox.register(new).unwrap();
        let trigger = Trigger::new("acme", "paid").with_body(r#"{"type":"paid"}"#);
        let ids = sandbox.trigger(&trigger).unwrap();
        sandbox.attempted(&ids[0], 1).await.unwrap();
        clock.advance(MINUTE);
        sandbox.ended(&ids[0]).await.unwrap();
        let times = receiver.header("x-time");
        assert_eq!(times[0] != times[1], differ, "{anew:?}");
        let signatures = receiver.header("x-signature");
        assert_eq!(signatures[0] != signatures[1], differ, "{anew:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_meanwhile_gets_nothing_more() {
    let receiver = Receiver::start(async |_| StatusCode::BAD_GATEWAY).await;
    let sandbox = sandbox();
    let new = NewRegistration::new("monterrey", receiver.url());
    let id = sandbox.register(new).unwrap().id;
    let trigger = Trigger::new("monterrey", "payment.confirmed");
    let ids = sandbox.trigger(&trigger).unwrap();
    sandbox.attempted(&ids[0], 1).await.unwrap();
    let path = format!("/_sandbox/registrations/{id}");
    let (status, ..) = support::call(&sandbox, "DELETE", &path, &[], "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let dispatch = sandbox.ended(&ids[0]).await.unwrap();
    assert_eq!(dispatch.state, State::Cancelled);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_scale_that_is_none_is_refused() {
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        Sandbox::builder()
            .with_time_scale(scale)
            .start()
            .unwrap_err();
    }
}
