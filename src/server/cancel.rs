//! Asks a node to cancel what one of its server processes is running.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::net::Stream;
use crate::wire::cancel::BackendKey;

/// Sends the request and waits until PostgreSQL has closed the connection: by then the signal is on its way, and a
/// query sent afterwards can't be hit.
pub async fn cancel(host: &str, port: u16, key: &BackendKey, timeout: Duration) -> std::io::Result<()> {
    let request = async {
        let mut stream = Stream::connect((host, port)).await?;
        stream.write_all(&key.cancel_request()).await?;
        let mut rest = [0; 64];
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(timeout, request).await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}
