use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

impl Envelope {
    fn read_body(&self, body: &Bytes, headers: &HeaderMap) -> Result<EventHead, Unusable> {
        self.read(&Reading {
            body,
            data: None,
            headers,
        })
    }
}

fn simple() -> Envelope {
    Envelope::new("/type").with_id("/id").with_data("/data")
}

fn read(envelope: &Envelope, body: &'static str) -> Result<EventHead, Unusable> {
    envelope.read_body(&Bytes::from_static(body.as_bytes()), &HeaderMap::new())
}

#[test]
fn type_id_and_data_share_the_memory_of_the_body() {
    let body = Bytes::from(r#"{"id":"evt_1","type":"a.b","data":{"x":1}}"#);
    let head = simple().read_body(&body, &HeaderMap::new()).unwrap();
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
    assert!(simple().read_body(&body(255), &HeaderMap::new()).is_ok());
    assert_eq!(
        simple().read_body(&body(256), &HeaderMap::new()),
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
    assert!(
        simple()
            .read_body(&Bytes::from(deep), &HeaderMap::new())
            .is_ok()
    );
    let open = Bytes::from("[".repeat(1_000_000));
    assert_eq!(
        simple().read_body(&open, &HeaderMap::new()),
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
    assert_eq!(
        envelope.read_body(&body, &headers),
        Err(Unusable::TypeMissing)
    );
    headers.insert(&name, HeaderValue::from_static("push"));
    assert_eq!(
        envelope.read_body(&body, &headers).unwrap().event_type(),
        "push"
    );
    headers.insert(&name, HeaderValue::from_bytes(b"p\xe9sh").unwrap());
    assert_eq!(
        envelope.read_body(&body, &headers),
        Err(Unusable::TypeMalformed)
    );
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
fn the_ordering_key_is_read_where_it_can_be() {
    let envelope = simple().with_ordering_key("/data/account");
    let key = |body| read(&envelope, body).map(|head| head.ordering_key().cloned());
    for (account, expected) in [
        (r#""acc_1""#, Some("acc_1")),
        ("17", Some("17")),
        // Anything else is no key, and no reason to set the event aside.
        ("null", None),
        (r#""""#, None),
        (r#""a\nb""#, None),
        ("{}", None),
        ("-1", None),
    ] {
        let body = format!(r#"{{"type":"a","id":"1","data":{{"account":{account}}}}}"#);
        let head = envelope.read_body(&Bytes::from(body), &HeaderMap::new());
        let found = head.unwrap().ordering_key().cloned();
        assert_eq!(found.as_deref(), expected, "{account}");
    }
    assert_eq!(key(r#"{"type":"a","id":"1"}"#), Ok(None));
    assert_eq!(
        key(r#"{"type":"a","id":"1","data":{"account":"1","account":"2"}}"#),
        Err(Unusable::DuplicateField)
    );
    assert_eq!(
        read(&simple(), r#"{"type":"a","id":"1","data":{"account":"1"}}"#)
            .unwrap()
            .ordering_key(),
        None
    );
}

#[test]
fn an_envelope_comes_back_from_its_text() {
    let envelope = Envelope::new(HeaderName::from_static("x-event"))
        .with_id(Locator::joined(
            "-",
            [LocatorPart::any(["/a", "/b"]).in_lower_case()],
        ))
        .with_time("/at")
        .with_ordering_key("/data/account")
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
        let read = simple().read_body(&Bytes::from_static(body), &HeaderMap::new());
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
    assert!(envelope.read_body(&body, &headers).is_ok());
    headers.append(&name, HeaderValue::from_static("push"));
    assert_eq!(
        envelope.read_body(&body, &headers),
        Err(Unusable::TypeMalformed)
    );
}

fn several() -> Envelope {
    Envelope::new(Locator::joined(
        ".",
        [
            LocatorPart::any(["/object"]),
            LocatorPart::any(["/events/*/kind"]),
        ],
    ))
    .with_id("/events/*/id")
    .with_data("/events/*")
    .with_batch("/events/*")
}

fn split(envelope: &Envelope, body: &'static str) -> Result<Vec<Item>, Unusable> {
    envelope.split(&Reading {
        body: &Bytes::from_static(body.as_bytes()),
        data: None,
        headers: &HeaderMap::new(),
    })
}

#[test]
fn several_events_of_one_body_keep_their_own_ids() {
    let body = r#"{"object":"page","events":[{"kind":"a","id":"1"},{"kind":"b","id":2}]}"#;
    let items = split(&several(), body).unwrap();
    let told: Vec<_> = items
        .iter()
        .map(|item| {
            let event = item.event().unwrap();
            (
                item.index(),
                item.id().as_str(),
                event.event_type().as_str(),
            )
        })
        .collect();
    assert_eq!(told, [(0, "1", "page.a"), (1, "2", "page.b")]);
    assert_eq!(items[1].event().unwrap().data(), r#"{"kind":"b","id":2}"#);
    assert_eq!(items[1].json(), r#"{"kind":"b","id":2}"#);
    assert_eq!(read(&several(), body), Err(Unusable::Batch));
}

#[test]
fn one_bad_event_spoils_none_of_the_others() {
    let body = r#"{"object":"page","events":[7,{"kind":"a","id":"1"},{"kind":"a","kind":"b","id":"2"},{"id":"3"},{"kind":"a"}]}"#;
    let items = split(&several(), body).unwrap();
    let told: Vec<_> = items.iter().map(|item| item.event().err()).collect();
    assert_eq!(
        told,
        [
            Some(Unusable::NotAnObject),
            None,
            Some(Unusable::DuplicateField),
            Some(Unusable::TypeMissing),
            Some(Unusable::IdMissing),
        ]
    );
    assert_eq!(items[0].json(), "7");
}

#[test]
fn an_event_without_an_id_is_known_by_its_own_bytes() {
    let envelope = Envelope::new("/*/kind").with_data("/*").with_batch("/*");
    let ids = |body| {
        let items = split(&envelope, body).unwrap();
        items
            .iter()
            .map(|item| item.id().clone())
            .collect::<Vec<_>>()
    };
    let first = ids(r#"[{"kind":"a"},{"kind":"b"},{"kind":"a"}]"#);
    // printf '%s' '{"kind":"a"}' | sha256sum
    let a = "c37a0afd7a3a7e6f1feba5f7239357f799785c63452b36bad414e64ce0cff21e";
    assert_eq!(first[2], format!("{}-2", first[0]));
    assert_eq!(first[0], a);
    assert_ne!(first[0], first[1]);
    let redelivered = ids(r#"[ {"kind":"b"}, {"kind":"a"} ]"#);
    assert_eq!(redelivered, [first[1].clone(), first[0].clone()]);
}

#[test]
fn a_body_without_its_list_is_unusable_as_a_whole() {
    for (body, reason) in [
        ("{", Unusable::NotJson),
        ("{}", Unusable::NotAList),
        (r#"{"events":{}}"#, Unusable::NotAList),
        (
            r#"{"object":"a","object":"b","events":[]}"#,
            Unusable::DuplicateField,
        ),
        (
            r#"{"object":"a","events":[],"events":[]}"#,
            Unusable::DuplicateField,
        ),
    ] {
        assert_eq!(split(&several(), body).unwrap_err(), reason, "{body}");
    }
    assert!(split(&several(), r#"{"events":[]}"#).unwrap().is_empty());
    let many = format!(r#"{{"events":[{}0]}}"#, "0,".repeat(10_000)).leak();
    assert_eq!(split(&several(), many).unwrap_err(), Unusable::TooManyItems);
}

#[test]
fn a_list_of_events_is_named_by_a_pointer_that_ends_in_a_star() {
    for batch in ["/events", "/a/*/b/*", "/*/a", ""] {
        let envelope = Envelope::new("/type").with_batch(batch);
        assert!(envelope.mistake().is_some(), "{batch}");
    }
    let elsewhere = Envelope::new("/others/*/type").with_batch("/events/*");
    assert!(elsewhere.mistake().is_some());
    assert!(several().mistake().is_none());
}

#[test]
fn a_form_is_read_like_an_object_of_text() {
    let envelope = Envelope::new("/Status")
        .with_id("/Sid")
        .with_format(BodyFormat::Form);
    let head = read(&envelope, "Sid=SM1&Status=delivered&To=%2B15&To=2").unwrap();
    assert_eq!(head.event_type(), "delivered");
    assert_eq!(head.id().unwrap(), "SM1");
    assert_eq!(
        head.data(),
        r#"{"Sid":"SM1","Status":"delivered","To":["+15","2"]}"#
    );
    assert_eq!(read(&envelope, "Sid=%ff"), Err(Unusable::NotAForm));
    assert_eq!(
        read(&envelope, "Sid=1&Sid=2&Status=a"),
        Err(Unusable::IdMalformed)
    );
}

#[test]
fn the_one_field_that_is_there_can_name_the_event() {
    let envelope = Envelope::new(Place::NameBeside("update_id".to_owned())).with_id("/update_id");
    let head = read(&envelope, r#"{"message":{"a":1},"update_id":7}"#).unwrap();
    assert_eq!(head.event_type(), "message");
    assert_eq!(
        read(&envelope, r#"{"update_id":7}"#),
        Err(Unusable::TypeMissing)
    );
    assert_eq!(
        read(&envelope, r#"{"update_id":7,"message":1,"poll":2}"#),
        Err(Unusable::TypeMalformed)
    );
    let text = toml::to_string(&envelope).unwrap();
    assert!(text.contains("name-beside:update_id"), "{text}");
    assert_eq!(toml::from_str::<Envelope>(&text).unwrap(), envelope);
}
