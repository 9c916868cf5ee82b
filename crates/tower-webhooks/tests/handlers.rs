//! Which functions are handlers: any number of extractors, in any order.

use axum::{
    Extension, Json,
    extract::{FromRef, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tower_webhooks::{
    Attempt, Completion, Decide, Delivery, Event, EventRouter, EventType, FromJob, Handler,
    HandlerError, Job, Outcome, Retry,
};

#[derive(Deserialize, EventType)]
#[event("order.paid")]
struct OrderPaid {}

#[derive(Deserialize, EventType)]
#[event("batch.closed")]
struct Batch<'a, T: Clone, const N: usize>
where
    T: 'a,
{
    #[serde(default)]
    items: Vec<T>,
    #[serde(skip)]
    marker: std::marker::PhantomData<&'a T>,
}

#[derive(Deserialize, EventType)]
#[event("either.way")]
#[serde(untagged)]
enum Either {
    Number(u64),
    Text(String),
}

#[derive(Clone)]
struct App {
    ledger: Ledger,
}

#[derive(Clone)]
struct Ledger;

impl FromRef<App> for Ledger {
    fn from_ref(app: &App) -> Self {
        app.ledger.clone()
    }
}

struct Tenant;

impl<S: Sync> FromJob<S> for Tenant {
    async fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        job.delivery()
            .tenant()
            .map(|_| Self)
            .ok_or_else(|| HandlerError::permanent("none"))
    }
}

async fn none() {}
async fn one(_: Event<OrderPaid>) -> Outcome {
    Outcome::done()
}
async fn two(_: Attempt, _: Event<OrderPaid>) -> Completion {
    Completion::new()
}
async fn three(_: Event<OrderPaid>, _: State<Ledger>, _: Delivery) -> Result<(), HandlerError> {
    Ok(())
}
async fn four(
    _: Job,
    _: Delivery,
    _: Tenant,
    _: Event<OrderPaid>,
) -> Result<Completion, std::io::Error> {
    Ok(Completion::new())
}
async fn five(_: Extension<u8>, _: State<App>, _: Event<OrderPaid>, _: Job, _: Attempt) {}
async fn six(
    _: Event<OrderPaid>,
    _: Extension<u8>,
    _: State<App>,
    _: State<Ledger>,
    _: Job,
    _: Attempt,
) {
}
#[expect(clippy::too_many_arguments, reason = "the most that a handler takes")]
async fn eight(
    _: Attempt,
    _: Extension<u8>,
    _: State<App>,
    _: State<Ledger>,
    _: Job,
    _: Tenant,
    _: Delivery,
    _: Event<OrderPaid>,
) {
}

#[test]
fn functions_of_any_number_of_arguments_are_handlers() {
    let named = |name: &'static str| (move || async move { println!("{name}") }).named(name);
    let router = EventRouter::new()
        .on("a", none)
        .on("b", one)
        .on("c", two)
        .on("d", three)
        .on("e", four)
        .on("f", five)
        .on("g", six)
        .on("h", eight)
        .fallback(named("rest"))
        .with_state(App { ledger: Ledger });
    assert_eq!(
        router.event_types(),
        ["a", "b", "c", "d", "e", "f", "g", "h"]
    );
}

#[test]
fn the_event_names_its_type_at_any_place() {
    let router = EventRouter::new()
        .on_event(one)
        .on_event(two.named("two"))
        .on_event(three.named("three"))
        .on_event(four.named("four"))
        .on_event(five.named("five"))
        .on_event(six.named("six"))
        .on_event(eight.named("eight"))
        .on_event(async |_: Event<Either>| {})
        .on_event(|event: Event<Batch<'static, u8, 3>>| async move {
            drop((event.data.items, event.data.marker));
        })
        .with_state(App { ledger: Ledger });
    assert_eq!(
        router.event_types(),
        ["order.paid", "either.way", "batch.closed"]
    );
}

#[test]
fn closures_of_every_kind_are_handlers_and_take_settings_in_any_order() {
    let greeting = String::from("hello");
    let router: EventRouter = EventRouter::new()
        .on("closure", |_: Event<Box<RawValue>>| async {})
        .on("async closure", async |event: Event<Either>| {
            match event.data {
                Either::Number(number) => println!("{number}"),
                Either::Text(text) => println!("{text}"),
            }
        })
        .on("captures", {
            let greeting = greeting.clone();
            move |_: Job| {
                let greeting = greeting.clone();
                async move { Err::<(), _>(HandlerError::msg(greeting)) }
            }
        })
        .on("captures, async", async move |job: Job| {
            println!("{greeting} {}", job.event_id());
        })
        .on("question mark", |event: Event<Box<RawValue>>| async move {
            let number: u8 = event.data.get().parse()?;
            println!("{number}");
            Ok::<_, HandlerError>(())
        })
        .on(
            "settings",
            none.retry(Retry::none())
                .named("settled")
                .timeout(std::time::Duration::MAX)
                .concurrency(std::num::NonZeroUsize::MAX)
                .named("named last"),
        );
    assert_eq!(router.event_types().len(), 6);
}

#[test]
fn decisions_of_every_kind_take_a_default() {
    let router = EventRouter::new()
        .reply("a", (async || Json(1)).or_default(Json(2)))
        .reply(
            "b",
            (|_: Event<Either>, _: State<Ledger>| async { Ok::<_, HandlerError>(Json(1)) })
                .or_default((StatusCode::OK, Json(2))),
        )
        .with_state(App { ledger: Ledger });
    assert_eq!(router.event_types(), ["a", "b"]);
}

#[test]
fn a_router_goes_between_threads_and_is_cloned() {
    fn check(_: &(impl Clone + Send + Sync + std::fmt::Debug)) {}
    fn handler<Args>(_: impl Handler<Args, ()> + std::fmt::Debug) {}
    let router: EventRouter = EventRouter::new().on("order.paid", none);
    check(&router);
    assert_eq!(router.clone().event_types(), router.event_types());
    handler(none.named("x").timeout(std::time::Duration::ZERO));
}
