//! Sockets: connecting, listening, their options. TLS will live here.

pub use tokio::net::TcpStream as Stream;
