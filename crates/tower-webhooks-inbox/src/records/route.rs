//! Which handlers an event is for.

use tower_webhooks_core::Text;

use super::Pattern;

/// A handler as the inbox knows it: from now on it gets a job for every event
/// of its endpoint that its pattern matches, whichever process stores it.
///
/// One endpoint's handler is registered once; again with another pattern
/// replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The endpoint.
    pub endpoint: Text,
    /// The handler's durable name.
    pub handler: Text,
    /// The types that it is for.
    pub pattern: Pattern,
    /// Whether it is only for events that no other handler matches.
    pub fallback: bool,
    /// Whether jobs whose events have one [`ordering_key`](super::NewEvent::ordering_key)
    /// run one after another. Jobs made before wait no longer than it says: not at all
    /// for [`None`](Ordering::None), for no dead one with [`Skip`](Ordering::Skip).
    pub ordering: Ordering,
}

/// How a handler's jobs of one endpoint, tenant and ordering key follow one
/// another: in the order in which their events were stored, each after the one
/// before it has ended. A retry keeps its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ordering {
    /// A dead job holds up those behind it, until it is replayed or erased.
    Block,
    /// They do not: each runs when it is due. The default, since no provider
    /// promises an order and one slow job must not hold up the others.
    #[default]
    None,
    /// A dead job lets those behind it pass.
    Skip,
}

/// The handlers that an event of this type is for, in the order given: every
/// one that matches, and fallbacks only when nothing else did.
///
/// `registrations` are those of the event's endpoint. An event without a type
/// matches `*`.
pub fn route<'a, R>(registrations: R, event_type: Option<&str>) -> impl Iterator<Item = &'a Text>
where
    R: Iterator<Item = &'a Registration> + Clone,
{
    let event_type = event_type.unwrap_or_default();
    let matching = registrations.filter(move |one| one.pattern.matches(event_type));
    let fallback = matching.clone().all(|one| one.fallback);
    matching
        .filter(move |one| one.fallback == fallback)
        .map(|one| &one.handler)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(pattern: &str, fallback: bool) -> Registration {
        Registration {
            endpoint: Text::from("shop"),
            handler: Text::from(if fallback { "fallback" } else { pattern }),
            pattern: pattern.parse().unwrap(),
            fallback,
            ordering: Ordering::None,
        }
    }

    #[test]
    fn every_match_gets_it_and_the_fallback_only_what_is_left() {
        let all = [
            registration("a.b", false),
            registration("*", true),
            registration("a.*", false),
        ];
        let to = |kind| {
            route(all.iter(), kind)
                .map(Text::as_str)
                .collect::<Vec<_>>()
        };
        assert_eq!(to(Some("a.b")), ["a.b", "a.*"]);
        assert_eq!(to(Some("a.c")), ["a.*"]);
        assert_eq!(to(Some("b.b")), ["fallback"]);
        assert_eq!(to(None), ["fallback"]);
    }

    #[test]
    fn an_event_without_a_type_is_for_those_who_take_all() {
        let all = [registration("*", false), registration("a.*", false)];
        assert_eq!(route(all.iter(), None).count(), 1);
        assert_eq!(route([].iter(), None).count(), 0);
    }
}
