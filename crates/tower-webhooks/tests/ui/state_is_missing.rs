use axum::extract::State;
use tower_webhooks::EventRouter;

#[derive(Clone)]
struct Ledger;

async fn handler(_: State<Ledger>) {}

fn main() {
    let _: EventRouter = EventRouter::new().on("order.paid", handler);
}
