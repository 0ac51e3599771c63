//! Ports that have to be known before a process starts, or that it comes back to.
//!
//! They are outside of the range from which the system takes ports by itself (32768 and on): no connection, and no listener that asks
//! for any port, takes one between the choice and the start.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// So many were looked at.
static LOOKED_AT: AtomicU32 = AtomicU32::new(0);

/// An address on loopback that nobody listens at, and that this process gives out once.
pub fn free_address() -> String {
    // Programs that run at the same time begin at places of their own.
    let begin = std::process::id().wrapping_mul(997);
    loop {
        let looked_at = LOOKED_AT.fetch_add(1, Relaxed);
        assert!(looked_at < COUNT, "no port is free");
        let address = format!("127.0.0.1:{}", FIRST + begin.wrapping_add(looked_at) % COUNT);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}
