//! The bound on memory.

/// Bytes of memory that a decoder may use for each byte of input. An empty text is the worst: 2 bytes on the wire, 24
/// in memory; nested lists add up.
const MULTIPLE: usize = 32;
/// Bytes that it may use whatever the input.
const FIXED: usize = 1024;

/// Runs a decoder on an input of `len` bytes and checks the most memory that it held at once.
pub fn bounded<T>(len: usize, decode: impl FnOnce() -> T) -> T {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(decode())).bytes_max;
    assert!(used <= (len * MULTIPLE + FIXED) as u64, "{used} bytes of memory for {len} bytes of input");
    result.unwrap()
}

/// Runs code that must not allocate at all.
pub fn without_allocation<T>(run: impl FnOnce() -> T) -> T {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(run())).count_total;
    assert_eq!(used, 0, "allocations");
    result.unwrap()
}
