//! Sockets: connecting, listening, their options. TLS will live here.

pub mod buffer;

pub use tokio::net::TcpStream as Stream;
