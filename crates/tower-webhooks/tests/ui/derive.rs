use tower_webhooks::EventType;

#[derive(EventType)]
struct NoAttribute;

#[derive(EventType)]
#[event]
struct NoText;

#[derive(EventType)]
#[event("")]
struct Empty;

#[derive(EventType)]
#[event("order.*")]
struct Pattern;

#[derive(EventType)]
#[event("order paid")]
struct Space;

#[derive(EventType)]
#[event(7)]
struct Number;

#[derive(EventType)]
#[event = "order.paid"]
struct WithoutParentheses;

#[derive(EventType)]
#[event("order.paid")]
#[event("order.shipped")]
struct Twice;

fn main() {}
