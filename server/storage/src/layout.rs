//! Fixed little-endian layouts with a crc32c in their last four bytes, in this version and all later ones: segment header
//! and footer, checkpoint slot.

/// What a fixed block turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    /// Written by a later version of this format.
    UnknownVersion(u32),
    Damaged,
}

/// The version of every format of this crate that does not say otherwise.
pub(crate) const VERSION: u32 = 1;

const MAGIC_BYTES: usize = 8;
/// Where the fields of a block begin, after its magic and version.
pub(crate) const FIELDS_AT: usize = 12;

pub(crate) fn put<const N: usize>(block: &mut [u8], at: usize, value: [u8; N]) {
    block[at..at + N].copy_from_slice(&value);
}

pub(crate) fn get<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&block[at..at + N]);
    value
}

pub(crate) fn get_u32(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(get(block, at))
}

pub(crate) fn get_u64(block: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(get(block, at))
}

pub(crate) fn get_i64(block: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(get(block, at))
}

/// Writes magic, version and (last) the crc.
pub(crate) fn seal(block: &mut [u8], magic: &[u8; MAGIC_BYTES]) {
    seal_as(block, magic, VERSION);
}

/// As [`seal`], for a format that has versions of its own.
pub(crate) fn seal_as(block: &mut [u8], magic: &[u8; MAGIC_BYTES], version: u32) {
    put(block, 0, *magic);
    put(block, MAGIC_BYTES, version.to_le_bytes());
    let at = block.len() - 4;
    let crc = crc32c::crc32c(&block[..at]);
    put(block, at, crc.to_le_bytes());
}

/// Judges a block that [`seal`] may have written. Changed bits in the version are damage, not a later version.
pub(crate) fn judge(block: &[u8], magic: &[u8; MAGIC_BYTES]) -> Verdict {
    if block[..MAGIC_BYTES] != *magic {
        return Verdict::Damaged;
    }
    let at = block.len() - 4;
    let stored = get_u32(block, at);
    let version = get_u32(block, MAGIC_BYTES);
    // Every version keeps its crc there, so that damage in the version is told from a later one.
    if crc32c::crc32c(&block[..at]) != stored || version == 0 || version > MAX_PLAUSIBLE_VERSION {
        return Verdict::Damaged;
    }
    if version == VERSION { Verdict::Good } else { Verdict::UnknownVersion(version) }
}

/// No release will get there: a larger number is damage.
const MAX_PLAUSIBLE_VERSION: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: &[u8; 8] = b"FQTEST\0\0";

    #[test]
    fn every_changed_bit_is_damage() {
        let mut block = [7; 64];
        seal(&mut block, MAGIC);
        assert_eq!(judge(&block, MAGIC), Verdict::Good);
        for bit in 0..block.len() * 8 {
            let mut bad = block;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(judge(&bad, MAGIC), Verdict::Damaged, "bit {bit}");
        }
    }

    #[test]
    fn damage_in_version_and_elsewhere_is_no_later_version() {
        let mut block = [7; 64];
        seal(&mut block, MAGIC);
        put(&mut block, MAGIC_BYTES, 5_u32.to_le_bytes());
        block[30] ^= 1;
        assert_eq!(judge(&block, MAGIC), Verdict::Damaged);
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut block = [7; 64];
        seal(&mut block, MAGIC);
        put(&mut block, 8, 2_u32.to_le_bytes());
        let crc = crc32c::crc32c(&block[..60]);
        put(&mut block, 60, crc.to_le_bytes());
        assert_eq!(judge(&block, MAGIC), Verdict::UnknownVersion(2));
    }
}
