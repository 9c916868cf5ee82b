use tower_webhooks::EventRouter;

async fn handler(_: std::time::Duration) {}

fn main() {
    let _: EventRouter = EventRouter::new().on("order.paid", handler);
}
