//! Every answer that is not the application's own, in one table.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS},
};
use tower_webhooks_core::{
    Rejection, RejectionKind,
    provider::{Answer, Answers, Handshake, HandshakeSign},
};
use tower_webhooks_inbox::Reply;

/// How long a sender is asked to wait after a 503: long enough for a restart,
/// short enough that its own schedule is not delayed.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// The status of a refusal. Never 410, which makes senders disable the
/// endpoint; never 3xx, which they count as failure; never 500 for what a
/// sender sent.
pub(crate) const fn status(kind: RejectionKind) -> StatusCode {
    match kind {
        RejectionKind::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        RejectionKind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RejectionKind::BodyIncomplete | RejectionKind::FramingAmbiguous => StatusCode::BAD_REQUEST,
        RejectionKind::ContentEncodingUnsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        RejectionKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        RejectionKind::Draining
        | RejectionKind::InboxUnavailable
        | RejectionKind::Overloaded
        | RejectionKind::SecretLookupFailed => StatusCode::SERVICE_UNAVAILABLE,
        RejectionKind::SignatureMalformed
        | RejectionKind::SignatureMismatch
        | RejectionKind::SignatureMissing
        | RejectionKind::SignatureRepeated
        | RejectionKind::TenantUnknown
        | RejectionKind::TimestampFuture
        | RejectionKind::TimestampMalformed
        | RejectionKind::TimestampMissing
        | RejectionKind::TimestampStale => StatusCode::UNAUTHORIZED,
        // A kind that a later core adds is refused like a forgery until this
        // table says otherwise.
        _ => StatusCode::UNAUTHORIZED,
    }
}

/// The answers of one endpoint, made once.
#[derive(Debug)]
pub(crate) struct AnswerBook {
    acknowledge: Page,
    refuse: Page,
    allow: HeaderValue,
}

#[derive(Debug, Clone)]
struct Page {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
}

impl AnswerBook {
    pub(crate) fn new(answers: &Answers) -> Self {
        Self {
            acknowledge: Page::new(&answers.acknowledge, StatusCode::OK),
            refuse: Page::new(&answers.refuse, StatusCode::UNAUTHORIZED),
            allow: HeaderValue::from_static("POST"),
        }
    }

    /// Says of wrong methods that those of the handshakes are allowed too.
    pub(crate) fn with_handshakes(mut self, handshakes: &[Handshake]) -> Self {
        let asked_by = handshakes
            .iter()
            .filter_map(|handshake| match handshake.sign() {
                HandshakeSign::Query { method, .. } => Some(method.as_str()),
                _ => None,
            });
        let methods: BTreeSet<_> = asked_by.chain(["POST"]).collect();
        let methods = methods.into_iter().collect::<Vec<_>>().join(", ");
        if let Ok(allow) = HeaderValue::try_from(methods) {
            self.allow = allow;
        }
        self
    }

    /// What a stored event is answered, new or known.
    pub(crate) fn acknowledge<B: From<Bytes>>(&self) -> Response<B> {
        self.acknowledge.response(self.acknowledge.status)
    }

    /// A refusal. Its kind is left in the extensions, for logs and tests; the
    /// sender sees one constant body.
    pub(crate) fn refuse<B: From<Bytes>>(&self, kind: RejectionKind) -> Response<B> {
        let status = status(kind);
        let mut response = if status == StatusCode::UNAUTHORIZED {
            self.refuse.response(status)
        } else {
            let mut empty = Response::new(B::from(Bytes::new()));
            *empty.status_mut() = status;
            empty
        };
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, self.allow.clone());
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response.extensions_mut().insert(Rejection::from(kind));
        response
    }
}

impl Page {
    /// What cannot stand in a response falls back to the default; the
    /// provider's check refuses such an answer at start.
    fn new(answer: &Answer, default: StatusCode) -> Self {
        Self {
            status: StatusCode::from_u16(answer.status).unwrap_or(default),
            content_type: answer
                .content_type
                .as_deref()
                .and_then(|text| HeaderValue::from_str(text).ok()),
            body: Bytes::copy_from_slice(answer.body.as_bytes()),
        }
    }

    fn response<B: From<Bytes>>(&self, status: StatusCode) -> Response<B> {
        let mut response = Response::new(B::from(self.body.clone()));
        *response.status_mut() = status;
        if let Some(content_type) = &self.content_type {
            response
                .headers_mut()
                .insert(CONTENT_TYPE, content_type.clone());
        }
        response
    }
}

/// The answer to a handshake. What it gives back is the asker's own text, and is
/// to be taken for nothing else.
pub(crate) fn handshake<B: From<Bytes>>(answer: &Answer) -> Response<B> {
    let page = Page::new(answer, StatusCode::OK);
    let mut response = page.response(page.status);
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The answer that a reply handler decided, or that is recorded for it.
pub(crate) fn decided<B: From<Bytes>>(reply: Reply) -> Response<B> {
    let mut response = Response::new(B::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    if let Some(value) = reply
        .content_type
        .and_then(|text| HeaderValue::from_str(&text).ok())
    {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_refusal_disables_redirects_or_blames_the_server() {
        for &kind in RejectionKind::ALL {
            let status = status(kind).as_u16();
            assert!(
                matches!(status, 400 | 401 | 405 | 408 | 413 | 415 | 503),
                "{kind}: {status}"
            );
        }
    }

    #[test]
    fn every_401_is_the_same_to_the_sender() {
        let book = AnswerBook::new(&Answers::new(Answer::empty(200), Answer::text(401, "no")));
        for &kind in RejectionKind::ALL {
            let response = book.refuse::<Bytes>(kind);
            assert_eq!(
                response.extensions().get::<Rejection>().unwrap().kind(),
                kind
            );
            if response.status() == StatusCode::UNAUTHORIZED {
                assert_eq!(response.body(), "no", "{kind}");
                assert_eq!(response.headers().len(), 1, "{kind}");
            } else {
                assert!(response.body().is_empty(), "{kind}");
            }
        }
    }

    #[test]
    fn a_503_says_when_to_come_back_and_a_405_what_is_allowed() {
        let book = AnswerBook::new(&Answers::default());
        let away = book.refuse::<Bytes>(RejectionKind::InboxUnavailable);
        assert_eq!(away.headers()[RETRY_AFTER], "5");
        let method = book.refuse::<Bytes>(RejectionKind::MethodNotAllowed);
        assert_eq!(method.headers()[ALLOW], "POST");
    }
}
