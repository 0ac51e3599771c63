//! Few bytes that want to become many.

use std::io::Write as _;

use bytes::Bytes;
use flymq_wire::batch::{BatchBuilder, BatchHeader, Compression, NewRecord};
use flymq_wire::compress::compress;

/// What a bomb inflates to.
pub const INFLATED: usize = 64 << 20;

/// A batch with right checksums around any payload.
pub fn batch(codec: Compression, payload: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(&NewRecord { value: Some(b""), ..NewRecord::default() }).expect("small");
    let header = BatchHeader {
        compression: codec,
        payload_len: u32::try_from(payload.len()).expect("small"),
        payload_crc: crc32c::crc32c(payload),
        ..BatchHeader::parse(&builder.build().expect("a record")).expect("a batch")
    };
    [&header.encode()[..], payload].concat().into()
}

/// Payloads that say how long they are, so that they can be refused by that alone.
pub fn boastful() -> Vec<(String, Bytes)> {
    let zeros = vec![0; INFLATED];
    [Compression::Gzip, Compression::Lz4, Compression::Zstd, Compression::Snappy]
        .map(|codec| (codec.to_string(), batch(codec, &compress(codec, None, &zeros))))
        .into()
}

/// Payloads that say nothing, or lie: known for what they are only when they are opened.
pub fn sly() -> Vec<(String, Bytes)> {
    let zeros = vec![0; INFLATED];
    let mut zstd = zstd::stream::Encoder::new(Vec::new(), 19).expect("an encoder");
    zstd.write_all(&zeros).expect("memory");
    let zstd = zstd.finish().expect("memory");
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&zeros).expect("memory");
    let lz4 = lz4.finish().expect("memory");
    let mut gzip = compress(Compression::Gzip, None, &zeros);
    let at = gzip.len() - 4;
    gzip[at..].copy_from_slice(&1_000_u32.to_le_bytes());
    let nested = compress(Compression::Gzip, None, &compress(Compression::Gzip, None, &zeros));
    vec![
        ("zstd without a length".to_owned(), batch(Compression::Zstd, &zstd)),
        ("lz4 without a length".to_owned(), batch(Compression::Lz4, &lz4)),
        ("gzip that lies".to_owned(), batch(Compression::Gzip, &gzip)),
        ("gzip in gzip".to_owned(), batch(Compression::Gzip, &nested)),
    ]
}
