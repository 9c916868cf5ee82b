//! Receivers that answer when the event is on the disk, each a process of its own, and who sends
//! to them over HTTP.
//!
//! * [`receiver`] names them and mounts them;
//! * [`by_hand`] is what stands behind those that do not use the library: a log, one table;
//! * [`serve`] is the receiver's process, [`process`] its handle in the process that measures;
//! * [`sender`] sends on kept connections, and measures how long the answers take;
//! * [`measure`] has them take turns; [`report`] is what comes of it.

pub mod by_hand;
pub mod measure;
pub mod process;
pub mod receiver;
pub mod report;
pub mod sender;
pub mod serve;
