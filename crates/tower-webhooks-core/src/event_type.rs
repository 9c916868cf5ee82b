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
    message = "`{Self}` does not name its event",
    label = "no event type known for this payload",
    note = "derive it: `#[derive(EventType)]` with `#[event(\"…\")]`, or register the handler by name with `.on(\"…\", handler)`"
)]
pub trait EventType {
    /// The event's type as the provider spells it. One exact type, not a
    /// pattern.
    const EVENT_TYPE: &'static str;
}
