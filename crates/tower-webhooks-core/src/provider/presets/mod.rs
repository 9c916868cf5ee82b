//! The presets, one file each, with the same headings in the same order.

mod monterrey;
mod mppcash;

pub use monterrey::monterrey;
pub use mppcash::mppcash;
