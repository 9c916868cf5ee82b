use tower_webhooks::{Event, EventRouter};

#[derive(serde::Deserialize)]
struct OrderPaid {}

async fn handler(_: Event<OrderPaid>) {}

fn main() {
    let _: EventRouter = EventRouter::new().on_event(handler);
}
