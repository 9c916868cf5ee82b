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

#[derive(Deserialize)]
struct Envelope<'b> {
    #[serde(borrow)]
    id: Cow<'b, str>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'b, str>,
    #[serde(borrow)]
    data: &'b RawValue,
}

/// Verifies, reads type and id, answers, and leaves the work to a task.
pub async fn receive(State(shop): State<Arc<Shop>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(sent) = headers
        .get(SIGNATURE)
        .and_then(|value| value.as_bytes().strip_prefix(b"sha256="))
    else {
        return StatusCode::UNAUTHORIZED;
    };
    let mut digest = [0; 32];
    if const_hex::decode_to_slice(sent, &mut digest).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let mut mac = shop.key.clone();
    mac.update(&body);
    if mac.verify_slice(&digest).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(&body) else {
        return StatusCode::BAD_REQUEST;
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
