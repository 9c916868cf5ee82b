//! Reads `#[event("…")]` and writes the implementation.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{DeriveInput, Error, LitStr, Result};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let event_type = event_type(input)?;
    let name = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::tower_webhooks::EventType for #name #arguments #conditions {
            const EVENT_TYPE: &'static str = #event_type;
        }
    })
}

/// The event's type out of exactly one attribute.
fn event_type(input: &DeriveInput) -> Result<LitStr> {
    let mut attributes = input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("event"));
    let Some(attribute) = attributes.next() else {
        return Err(Error::new(
            Span::call_site(),
            "the payload does not name its event: add `#[event(\"…\")]` with the type as the provider spells it",
        ));
    };
    if let Some(second) = attributes.next() {
        return Err(Error::new_spanned(
            second,
            "a payload belongs to one event type: remove this attribute",
        ));
    }
    let text: LitStr = attribute.parse_args().map_err(|error| {
        let mut whole = Error::new_spanned(
            attribute,
            "expected the event's type as text: `#[event(\"transfer.settled\")]`",
        );
        whole.combine(error);
        whole
    })?;
    match fault(&text.value()) {
        Some(fault) => Err(Error::new(text.span(), fault)),
        None => Ok(text),
    }
}

/// Why the text is not one exact event type.
fn fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("the event's type is empty")
    } else if text.contains('*') {
        Some(
            "a payload names one exact type, not a pattern: register the handler with `.on(\"…\", handler)` instead",
        )
    } else if text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        Some("an event's type has no white space or control characters")
    } else {
        None
    }
}
