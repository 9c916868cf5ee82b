use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn simple() -> Envelope {
    Envelope::new("/type").with_id("/id").with_data("/data")
}

fn read(envelope: &Envelope, body: &'static str) -> Result<EventHead, Unusable> {
    envelope.read(&Bytes::from_static(body.as_bytes()), &HeaderMap::new())
}

#[test]
fn type_id_and_data_share_the_memory_of_the_body() {
    let body = Bytes::from(r#"{"id":"evt_1","type":"a.b","data":{"x":1}}"#);
    let head = simple().read(&body, &HeaderMap::new()).unwrap();
    assert_eq!(head.event_type(), "a.b");
    assert_eq!(head.id().unwrap(), "evt_1");
    assert_eq!(head.data(), r#"{"x":1}"#);
    let range = body.as_ptr_range();
    assert!(range.contains(&head.data().as_ptr()));
    assert!(range.contains(&head.event_type().as_ptr()));
}

#[test]
fn escapes_in_keys_and_values_are_undone() {
    let head = read(&simple(), r#"{"ty\u0070e":"\u0061.b","id":"a\/b"}"#).unwrap();
    assert_eq!(head.event_type(), "a.b");
    assert_eq!(head.id().unwrap(), "a/b");
    assert_eq!(head.data(), "null");
}

#[test]
fn what_is_not_one_usable_document_says_why() {
    for (body, reason) in [
        ("", Unusable::NotJson),
        ("{", Unusable::NotJson),
        (r#"{"type":"a","id":"1"} x"#, Unusable::NotJson),
        (r#"{"type":"a","id":"1"}{}"#, Unusable::NotJson),
        ("\u{feff}{}", Unusable::NotJson),
        (r#"{"type":"\ud800","id":"1"}"#, Unusable::TypeMalformed),
        ("null", Unusable::NotAnObject),
        ("[]", Unusable::NotAnObject),
        ("7", Unusable::NotAnObject),
        (r#""type""#, Unusable::NotAnObject),
        ("{}", Unusable::TypeMissing),
        (r#"{"type":null,"id":"1"}"#, Unusable::TypeMissing),
        (r#"{"type":true,"id":"1"}"#, Unusable::TypeMalformed),
        (r#"{"type":"","id":"1"}"#, Unusable::TypeMalformed),
        (r#"{"type":"a\nb","id":"1"}"#, Unusable::TypeMalformed),
        (r#"{"type":"a\u0000b","id":"1"}"#, Unusable::TypeMalformed),
        (r#"{"type":"é","id":"1"}"#, Unusable::TypeMalformed),
        (r#"{"type":"a"}"#, Unusable::IdMissing),
        (r#"{"type":"a","id":{}}"#, Unusable::IdMalformed),
        (r#"{"type":"a","id":-1}"#, Unusable::IdMalformed),
        (
            r#"{"type":"a","type":"b","id":"1"}"#,
            Unusable::DuplicateField,
        ),
        (
            r#"{"type":"a","id":"1","t\u0079pe":"b"}"#,
            Unusable::DuplicateField,
        ),
        (
            r#"{"type":"a","id":"1","data":1,"data":2}"#,
            Unusable::DuplicateField,
        ),
    ] {
        assert_eq!(read(&simple(), body), Err(reason), "{body}");
    }
}

#[test]
fn a_name_may_have_255_characters_and_no_more() {
    let body = |len: usize| Bytes::from(format!(r#"{{"type":"{}","id":"1"}}"#, "a".repeat(len)));
    assert!(simple().read(&body(255), &HeaderMap::new()).is_ok());
    assert_eq!(
        simple().read(&body(256), &HeaderMap::new()),
        Err(Unusable::TypeMalformed)
    );
}

#[test]
fn a_whole_number_is_an_id() {
    let head = read(&simple(), r#"{"type":"a","id":18446744073709551616}"#).unwrap();
    assert_eq!(head.id().unwrap(), "18446744073709551616");
}

#[test]
fn deep_nesting_outside_the_envelope_is_passed_over_without_recursion() {
    let deep = format!(
        r#"{{"type":"a","id":"1","data":{}1{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(simple().read(&Bytes::from(deep), &HeaderMap::new()).is_ok());
    let open = Bytes::from("[".repeat(1_000_000));
    assert_eq!(
        simple().read(&open, &HeaderMap::new()),
        Err(Unusable::NotJson)
    );
}

#[test]
fn nested_places_are_found_in_one_description() {
    let envelope = Envelope::new("/meta/kind")
        .with_id("/meta/id")
        .with_data("/meta");
    let head = read(&envelope, r#"{"meta":{"kind":"a","id":"1","n":[{}]}}"#).unwrap();
    assert_eq!(head.event_type(), "a");
    assert_eq!(head.data(), r#"{"kind":"a","id":"1","n":[{}]}"#);
    assert_eq!(
        read(&envelope, r#"{"meta":{"kind":"a","kind":"b","id":"1"}}"#),
        Err(Unusable::DuplicateField)
    );
    assert_eq!(
        read(&envelope, r#"{"meta":"text"}"#),
        Err(Unusable::TypeMissing)
    );
}

#[test]
fn several_places_are_joined_and_the_first_present_one_counts() {
    let envelope = Envelope::new(Locator::joined(
        ".",
        [
            LocatorPart::any(["/product", "/operation"]).in_lower_case(),
            LocatorPart::any(["/status"]).in_lower_case(),
        ],
    ))
    .with_id(Locator::joined(
        ":",
        [
            LocatorPart::any([Place::EventType]),
            LocatorPart::any(["/id"]),
        ],
    ));
    let new = read(
        &envelope,
        r#"{"product":"CARDS","status":"PENDING","id":"X1"}"#,
    )
    .unwrap();
    let old = read(
        &envelope,
        r#"{"operation":"cards","status":"pending","id":"X1"}"#,
    )
    .unwrap();
    assert_eq!(new.event_type(), "cards.pending");
    assert_eq!(new.id().unwrap(), "cards.pending:X1");
    assert_eq!(new.id(), old.id());
    assert_eq!(
        read(&envelope, r#"{"product":"CARDS","id":"X1"}"#),
        Err(Unusable::TypeMissing)
    );
}

#[test]
fn a_header_can_name_the_event() {
    let name = HeaderName::from_static("x-event");
    let envelope = Envelope::new(name.clone());
    let body = Bytes::from_static(b"{}");
    let mut headers = HeaderMap::new();
    assert_eq!(envelope.read(&body, &headers), Err(Unusable::TypeMissing));
    headers.insert(&name, HeaderValue::from_static("push"));
    assert_eq!(envelope.read(&body, &headers).unwrap().event_type(), "push");
    headers.insert(&name, HeaderValue::from_bytes(b"p\xe9sh").unwrap());
    assert_eq!(envelope.read(&body, &headers), Err(Unusable::TypeMalformed));
}

#[test]
fn the_time_is_read_where_it_can_be() {
    let envelope = simple().with_time("/at");
    let at = |body| read(&envelope, body).unwrap().occurred_at();
    let expected = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(10);
    assert_eq!(
        at(r#"{"type":"a","id":"1","at":"1970-01-01T00:00:10Z"}"#),
        Some(expected)
    );
    assert_eq!(at(r#"{"type":"a","id":"1","at":"soon"}"#), None);
    assert_eq!(at(r#"{"type":"a","id":"1"}"#), None);
}

#[test]
fn an_envelope_comes_back_from_its_text() {
    let envelope = Envelope::new(HeaderName::from_static("x-event"))
        .with_id(Locator::joined(
            "-",
            [LocatorPart::any(["/a", "/b"]).in_lower_case()],
        ))
        .with_time("/at")
        .with_data("/data");
    let text = toml::to_string(&envelope).unwrap();
    let back: Envelope = toml::from_str(&text).unwrap();
    assert_eq!(back, envelope, "{text}");
}

#[test]
fn a_locator_is_shown_as_the_places_it_looks_at() {
    assert_eq!(Locator::from("/data/id").to_string(), "/data/id");
    let header = HeaderName::from_static("x-event");
    assert_eq!(Locator::from(header).to_string(), "header:x-event");
    let joined = Locator::joined(
        ".",
        [
            LocatorPart::any(["/area", "/product"]).in_lower_case(),
            LocatorPart::any([Place::EventType]),
        ],
    );
    assert_eq!(joined.to_string(), "/area|/product.event-type");
    let places: Vec<_> = joined.places().map(Place::to_string).collect();
    assert_eq!(places, ["/area", "/product", "event-type"]);
}

#[test]
fn bytes_that_are_no_text_are_no_json_wherever_they_stand() {
    for body in [
        &b"{\"type\":\"a\",\"id\":\"1\",\"other\":\"\xff\"}"[..],
        b"{\"type\":\"a\",\"id\":\"1\",\"data\":\"\xc3\"}",
        b"{\"type\":\"a\xed\xa0\x80\",\"id\":\"1\"}",
    ] {
        let read = simple().read(&Bytes::from_static(body), &HeaderMap::new());
        assert_eq!(read, Err(Unusable::NotJson), "{}", body.escape_ascii());
    }
}

#[test]
fn the_payload_may_hold_any_letter() {
    let body = r#"{"type":"a","id":"1","data":{"name":"Jürgen"}}"#;
    let head = read(&simple(), body).unwrap();
    assert_eq!(head.data(), r#"{"name":"Jürgen"}"#);
}

#[test]
fn joined_parts_have_one_reading() {
    let envelope = Envelope::new("/type").with_id(Locator::joined(
        ":",
        [LocatorPart::any(["/a"]), LocatorPart::any(["/b"])],
    ));
    let id = |body| read(&envelope, body).map(|head| head.id().cloned().unwrap());
    assert_eq!(id(r#"{"type":"t","a":"x","b":"y:z"}"#).unwrap(), "x:y:z");
    for body in [
        r#"{"type":"t","a":"x:y","b":"z"}"#,
        r#"{"type":"t","a":"","b":"z"}"#,
        r#"{"type":"t","a":"x","b":""}"#,
    ] {
        assert_eq!(id(body), Err(Unusable::IdMalformed), "{body}");
    }
}

#[test]
fn a_header_that_stands_twice_names_nothing() {
    let name = HeaderName::from_static("x-event");
    let envelope = Envelope::new(name.clone());
    let mut headers = HeaderMap::new();
    headers.append(&name, HeaderValue::from_static("push"));
    let body = Bytes::from_static(b"{}");
    assert!(envelope.read(&body, &headers).is_ok());
    headers.append(&name, HeaderValue::from_static("push"));
    assert_eq!(envelope.read(&body, &headers), Err(Unusable::TypeMalformed));
}
