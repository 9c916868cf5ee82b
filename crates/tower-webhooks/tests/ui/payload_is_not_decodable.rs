use tower_webhooks::{Event, EventRouter};

struct OrderPaid;

async fn handler(_: Event<OrderPaid>) {}

fn main() {
    let _: EventRouter = EventRouter::new().on("order.paid", handler);
}
