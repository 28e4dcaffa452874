//! PostgreSQL's errors about a prepared statement name it as the server knows it; the client gets its own name for it.

use super::Session;
use super::remarks::OURS;
use crate::net::buffer::Buffer;
use crate::server::Server;
use crate::wire::frame::{self, HEADER};

/// Names lost in one exchange that are remembered for what was sent before the client could know.
const MAX_LOST: usize = 100;

impl Session {
    /// Rewrites the ErrorResponse between these positions. Returns where it ends then.
    pub(super) fn name_as_client_does(&self, server: &Server, buffer: &mut Buffer, from: usize, to: usize) -> usize {
        let body = buffer.range(from + HEADER, to);
        let Some(at) = body.windows(OURS.len()).position(|window| window == OURS) else { return to };
        let digits = &body[at + OURS.len()..];
        let digits = &digits[..digits.iter().take_while(|b| b.is_ascii_digit()).count()];
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let Some(name) = number.and_then(|number| self.client_name(server, number)) else { return to };
        let name_at = at + OURS.len() - crate::server::prepared::PREFIX.len();
        let mut error = Vec::with_capacity(to - from + name.len());
        frame::push(&mut error, b'E', |out| {
            out.extend_from_slice(&body[..name_at]);
            out.extend_from_slice(name);
            out.extend_from_slice(&body[at + OURS.len() + digits.len()..]);
        });
        buffer.replace(from, to, &error);
        from + error.len()
    }

    fn client_name(&self, server: &Server, number: u64) -> Option<&[u8]> {
        let lost = self.lost_names.iter().rev().find(|(lost, _)| *lost == number);
        if let Some((_, name)) = lost {
            return Some(name);
        }
        let id = server.prepared.id_of(number)?;
        self.names.name_of(|statement| self.id_on_server(statement) == id)
    }

    pub(super) fn remember_lost(&mut self, number: u64, name: &[u8]) {
        if self.lost_names.len() < MAX_LOST {
            self.lost_names.push((number, name.into()));
        }
    }
}
