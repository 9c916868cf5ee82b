//! Edits of a body's text: what is not replaced keeps its bytes.

pub(crate) mod form;
pub(crate) mod json;
