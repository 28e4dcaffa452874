//! PostgreSQL's frontend/backend protocol 3.x, bytes ⇄ messages. Pure: bytes come in and go out as arguments.
//! (PostgreSQL docs: chapter "Frontend/Backend Protocol".)

pub mod auth;
pub mod cancel;
pub mod error;
pub mod frame;
pub mod frontend;
pub mod md5;
pub mod scram;
pub mod startup;
