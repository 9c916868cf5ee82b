//! Bodies that were compressed or inflated on their way.

use std::io::{Read as _, Write as _};

use flate2::{Compression, GzBuilder, read::MultiGzDecoder, read::ZlibDecoder, write::ZlibEncoder};

/// How large an inflated body may become: as the default of
/// [`Compression`](crate::provider::Compression).
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The plain body, where this one is gzip or zlib and ends as it should.
pub(super) fn inflated(body: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    match body {
        [0x1f, 0x8b, ..] => MultiGzDecoder::new(body)
            .take(MAX_BYTES)
            .read_to_end(&mut plain),
        [0x78, ..] => ZlibDecoder::new(body)
            .take(MAX_BYTES)
            .read_to_end(&mut plain),
        _ => return None,
    }
    .ok()?;
    Some(plain)
}

/// One way to compress. There are more than can be tried: only a sender that uses
/// the same library is found out by its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer {
    level: u32,
    /// What gzip says of the system; nothing for zlib.
    system: Option<u8>,
}

pub(super) const WRITERS: [Writer; 8] = [
    gzip(6, 255),
    gzip(6, 3),
    gzip(6, 0),
    gzip(1, 255),
    gzip(1, 3),
    gzip(9, 255),
    gzip(9, 3),
    Writer {
        level: 6,
        system: None,
    },
];

const fn gzip(level: u32, system: u8) -> Writer {
    Writer {
        level,
        system: Some(system),
    }
}

impl Writer {
    pub(super) fn deflated(self, body: &[u8]) -> Option<Vec<u8>> {
        let level = Compression::new(self.level);
        match self.system {
            Some(system) => {
                let builder = GzBuilder::new().operating_system(system);
                let mut writer = builder.write(Vec::new(), level);
                writer.write_all(body).ok()?;
                writer.finish().ok()
            }
            None => {
                let mut writer = ZlibEncoder::new(Vec::new(), level);
                writer.write_all(body).ok()?;
                writer.finish().ok()
            }
        }
    }
}
