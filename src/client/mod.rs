//! One connection FROM an application.

pub mod handshake;
pub mod registry;
