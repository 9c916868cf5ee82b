use tower_webhooks::EventRouter;

async fn handler() -> u32 {
    7
}

fn main() {
    let _: EventRouter = EventRouter::new().on("order.paid", handler);
}
