//! An inbox in PostgreSQL, without HTTP: what it costs to claim and to complete, how it grows, and
//! whether claims stay fast as it does.
//!
//! * [`database`] is a schema to work in;
//! * [`jobs`] stores, claims and completes;
//! * [`claims`] does so beside a table by hand; [`growth`] looks at the tables' size; [`history`]
//!   claims while finished events pile up;
//! * [`report`] is what comes of it.

pub mod claims;
pub mod database;
pub mod growth;
pub mod history;
pub mod jobs;
pub mod report;
