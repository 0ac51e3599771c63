//! The metadata group over sockets.
