//! Payload types that know the event they belong to.

/// A payload type that names its event, so that a handler for it needs no
/// string.
///
/// ```
/// use tower_webhooks_core::EventType;
///
/// #[derive(serde::Deserialize)]
/// struct OrderPaid { order_id: String }
///
/// impl EventType for OrderPaid {
///     const EVENT_TYPE: &'static str = "order.paid";
/// }
/// assert_eq!(OrderPaid::EVENT_TYPE, "order.paid");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name the event that it is the payload of",
    note = "add `#[derive(EventType)]` and `#[event(\"the.type\")]` to it, or register the handler with `.on(\"the.type\", …)`"
)]
pub trait EventType {
    /// The event's type, as the provider writes it.
    const EVENT_TYPE: &'static str;
}
