use std::rc::Rc;

use tower_webhooks::EventRouter;

async fn handler() {
    let shared = Rc::new(1);
    std::future::ready(()).await;
    drop(shared);
}

fn main() {
    let _: EventRouter = EventRouter::new().on("order.paid", handler);
}
