use tower_webhooks::{EventRouter, Job};

fn main() {
    let _: EventRouter = EventRouter::new().on("order.paid", |job: Job| println!("{job:?}"));
}
