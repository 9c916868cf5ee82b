use tower_webhooks::{EventRouter, Job};

async fn handler(_: Job) {}

fn main() {
    let _: EventRouter = EventRouter::new().on_event(handler);
}
