//! One connection FROM an application.

pub mod auth;
pub mod handshake;
pub mod logins;
pub mod random;
pub mod registry;
pub mod scram;
