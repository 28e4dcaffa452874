//! Messages read to the byte: nothing after the message is taken from the socket, so that whoever gets the
//! stream next misses nothing. For logins and the proxy's own queries; the relay reads in chunks.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// One message with its tag; the body without the length.
#[derive(Debug)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

/// Reads one tagged message. `InvalidData` if its body is longer than `max` or its length impossible (nothing
/// more is read then); `UnexpectedEof` if the peer is gone.
pub async fn read_message<S: AsyncRead + Unpin>(stream: &mut S, max: usize) -> io::Result<Message> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).await?;
    let [tag, length @ ..] = header;
    let length = u32::from_be_bytes(length) as usize;
    let Some(body_length) = length.checked_sub(4).filter(|n| *n <= max) else {
        let text = format!("message {:?} of {length} bytes, {max} are allowed", char::from(tag));
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    };
    let mut body = vec![0; body_length];
    stream.read_exact(&mut body).await?;
    Ok(Message { tag, body })
}
