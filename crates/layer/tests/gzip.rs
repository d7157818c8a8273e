//! Compressing.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{self, Read, Write};

use dfbuild_image::Digest;
use dfbuild_layer::archive::{Compression, decompress};
use dfbuild_layer::{BlobWriter, DEFAULT_LEVEL, Encoding, GZIP_ID, Gzip, gzip_id};

const BLOCK: usize = 1 << 20;

/// Bytes that no compressor makes smaller, the same in each run (splitmix64).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let words = std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

/// Something like text, with repetitions further apart than a block.
fn text(length: usize) -> Vec<u8> {
    let noise = noise(length / 8 + 1);
    noise.iter().flat_map(|byte| format!("line {byte:02x} ").into_bytes()).take(length).collect()
}

fn compress(data: &[u8], level: u32, threads: usize, step: usize) -> Vec<u8> {
    let mut gzip = Gzip::new(Vec::new(), level, threads);
    for part in data.chunks(step) {
        gzip.write_all(part).unwrap();
    }
    gzip.finish().unwrap()
}

fn decompressed(gzip: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    decompress(Compression::Gzip, Box::new(gzip)).read_to_end(&mut data).unwrap();
    data
}

#[test]
fn the_number_of_threads_does_not_show() {
    let mut data = text(3 * BLOCK + 17);
    data.extend(noise(2 * BLOCK));
    data.extend(vec![0; 3 * BLOCK]);
    for level in [1, 6] {
        let alone = compress(&data, level, 0, 100_000);
        assert_eq!(decompressed(&alone), data);
        for (threads, step) in [(1, 1 << 20), (2, 65_536), (3, 9_999), (8, data.len())] {
            assert!(compress(&data, level, threads, step) == alone, "{level} {threads}");
        }
    }
}

#[test]
fn every_length_and_level_comes_back() {
    for length in [0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1] {
        for data in [noise(length), text(length)] {
            assert!(decompressed(&compress(&data, 6, 2, 4096)) == data, "{length}");
        }
    }
    // Level 1 makes noise longer by an eighth before it gives up.
    for level in 0..=9 {
        let data = noise(BLOCK + 1000);
        let packed = compress(&data, level, 2, 4096);
        assert!(decompressed(&packed) == data, "{level}");
        assert!(packed.len() < data.len() * 9 / 8 + 1024, "{level}");
    }
}

#[test]
fn the_bytes_are_those_of_the_id() {
    // If this changes, so must GZIP_ID, or caches serve blobs under the wrong digest.
    assert_eq!(gzip_id(DEFAULT_LEVEL), GZIP_ID);
    let data = text(3 * BLOCK);
    let packed = compress(&data, DEFAULT_LEVEL, 2, 4096);
    assert_eq!(packed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    assert_eq!(Digest::of(&packed).short(), "e84d9cc0d6d8");
}

#[test]
fn a_blob_says_what_it_is() {
    let data = text(2 * BLOCK + 5);
    let mut writer = BlobWriter::new(Vec::new(), Encoding::Gzip(6), 2).unwrap();
    writer.write_all(&data).unwrap();
    let (blob, sealed) = writer.finish().unwrap();
    assert_eq!((sealed.diff_id, sealed.tar_size), (Digest::of(&data), data.len() as u64));
    assert_eq!((sealed.blob_digest, sealed.blob_size), (Digest::of(&blob), blob.len() as u64));
    assert_eq!(decompressed(&blob), data);
}

#[test]
fn errors_of_the_sink_surface_and_nothing_hangs() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let data = noise(40 * BLOCK);
    for (room, threads) in [(0, 0), (0, 2), (2 * BLOCK, 0), (2 * BLOCK, 2), (39 * BLOCK, 3)] {
        let mut gzip = Gzip::new(Full(room), 1, threads);
        let written = gzip.write_all(&data);
        let error = written.and_then(|()| gzip.finish().map(drop)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
    // Dropped half-way.
    let mut gzip = Gzip::new(Vec::new(), 6, 3);
    gzip.write_all(&data[..10 * BLOCK]).unwrap();
    drop(gzip);
}
