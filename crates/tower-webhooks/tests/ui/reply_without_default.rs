use axum::Json;
use tower_webhooks::EventRouter;

async fn decide() -> Json<&'static str> {
    Json("00")
}

fn main() {
    let _: EventRouter = EventRouter::new().reply("order.paid", decide);
}
