//! Shared text and bytes as values of a statement that keeps them: neither is
//! copied before it is sent.

use std::error::Error;

use bytes::Bytes;
use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use tower_webhooks_core::Text;

/// Bytes, as `bytea`.
#[derive(Debug)]
pub(crate) struct SharedBytes(pub(crate) Bytes);

/// Text, as `text`.
#[derive(Debug)]
pub(crate) struct SharedText(pub(crate) Text);

type Encoded = Result<IsNull, Box<dyn Error + Sync + Send>>;

impl ToSql for SharedBytes {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Encoded {
        (&*self.0).to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <&[u8] as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

impl ToSql for SharedText {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Encoded {
        self.0.as_str().to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <&str as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}
