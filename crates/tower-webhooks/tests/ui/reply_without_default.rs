use tower_webhooks::{EventRouter, Reply};

// A type that no other crate has, so that the compiler names it in one way.
async fn decide() -> Reply {
    Reply {
        status: 200,
        content_type: None,
        body: "00".into(),
    }
}

fn main() {
    let _: EventRouter = EventRouter::new().reply("order.paid", decide);
}
