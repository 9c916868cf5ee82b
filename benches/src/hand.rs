//! The handler that a careful team writes: nothing copied that need not be, the key set up once,
//! the digest compared in constant time, the answer before the work.

use std::{borrow::Cow, sync::Arc};

use axum::extract::State;
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;

use crate::{
    event::{self, Till},
    load::SIGNATURE,
};

/// What the handler shares between requests.
#[derive(Debug)]
pub struct Shop {
    /// The secret, ready to use.
    pub key: Hmac<Sha256>,
    /// Where the work ends up.
    pub till: Arc<Till>,
}

/// Who sends what, borrowed from the body.
#[derive(Debug, Deserialize)]
pub struct Envelope<'b> {
    /// The event's id.
    #[serde(borrow)]
    pub id: Cow<'b, str>,
    /// The event's type.
    #[serde(borrow, rename = "type")]
    pub event_type: Cow<'b, str>,
    /// The payload, not decoded yet.
    #[serde(borrow)]
    pub data: &'b RawValue,
}

/// Verifies the body, and reads type and id.
///
/// # Errors
///
/// The answer for who is not authentic or does not send an event.
#[inline]
pub fn open<'b>(
    key: &Hmac<Sha256>,
    headers: &HeaderMap,
    body: &'b Bytes,
) -> Result<Envelope<'b>, StatusCode> {
    let sent = headers
        .get(SIGNATURE)
        .and_then(|value| value.as_bytes().strip_prefix(b"sha256="))
        .ok_or(StatusCode::UNAUTHORIZED)?;
    let mut digest = [0; 32];
    const_hex::decode_to_slice(sent, &mut digest).map_err(|_| StatusCode::UNAUTHORIZED)?;
    let mut mac = key.clone();
    mac.update(body);
    mac.verify_slice(&digest)
        .map_err(|_| StatusCode::UNAUTHORIZED)?;
    serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST)
}

/// Opens the envelope, answers, and leaves the work to a task.
pub async fn receive(State(shop): State<Arc<Shop>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let envelope = match open(&shop.key, &headers, &body) {
        Ok(envelope) => envelope,
        Err(refused) => return refused,
    };
    match envelope.event_type.as_ref() {
        event::TYPE => {
            let id = envelope.id.into_owned();
            let data = body.slice_ref(envelope.data.get().as_bytes());
            let till = Arc::clone(&shop.till);
            tokio::spawn(async move {
                if let Ok(settled) = serde_json::from_slice(&data) {
                    till.settle(&id, &settled);
                }
            });
            StatusCode::OK
        }
        _ => StatusCode::OK,
    }
}
