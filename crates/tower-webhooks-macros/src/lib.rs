//! The derive macro of tower-webhooks: `#[derive(EventType)]`.

mod event_type;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `EventType` for a payload, so that
/// `EventRouter::on_event` finds the event's type in the handler's signature.
///
/// Takes one attribute, `#[event("…")]`: the type as the provider spells it,
/// one exact type and not a pattern. Structs and enums, generic ones too.
///
/// ```
/// use tower_webhooks::EventType;
///
/// #[derive(EventType)]
/// #[event("order.paid")]
/// struct OrderPaid<Lines> {
///     lines: Lines,
/// }
///
/// assert_eq!(OrderPaid::<Vec<String>>::EVENT_TYPE, "order.paid");
/// ```
///
/// A missing, repeated or empty attribute, a pattern (`*`), white space and
/// control characters are errors at compile time.
#[proc_macro_derive(EventType, attributes(event))]
pub fn derive_event_type(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event_type::derive(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
