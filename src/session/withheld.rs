//! What a server has said and its client has not got yet, because the request may have to be asked again. It lies in the
//! server's buffer as long as it fits.

use super::Session;
use super::exchange::Exchange;
use super::outline::Outline;
use super::replies::Awaited;
use crate::client::registry::Pin;
use crate::net::buffer::Buffer;
use crate::route::TxStatus;

// === impl Exchange ===

impl Exchange {
    /// So many bytes of `forward` were written.
    pub(super) fn advance(&mut self, mut count: usize) {
        let mut done = 0;
        for (from, to) in &self.forward {
            let left = to - from - self.written;
            if count < left {
                self.written += count;
                break;
            }
            count -= left;
            self.written = 0;
            done += 1;
        }
        self.forward.drain(..done);
    }

    /// Makes room in the buffer behind what is withheld.
    pub(super) fn make_room(&mut self) {
        self.sure = 0;
        let Some(&(from, _)) = self.withheld.first() else { return self.buffer.compact() };
        self.buffer.mark = Some(from);
        self.buffer.compact();
        for (start, end) in &mut self.withheld {
            (*start, *end) = (*start - from, *end - from);
        }
    }

    /// What is withheld comes first.
    pub(super) fn unwithhold(&mut self) {
        self.buffer.mark = None;
        if !self.withheld.is_empty() {
            self.withheld.append(&mut self.forward);
            std::mem::swap(&mut self.withheld, &mut self.forward);
        }
    }

    /// What belongs to the request that is being answered, behind `sure`, is not for the client yet.
    pub(super) fn withhold(&mut self) {
        let sure = self.sure;
        let Some(first) = self.forward.iter().position(|(_, to)| *to > sure) else { return };
        let mut unsure = self.forward.split_off(first);
        if let Some((from, _)) = unsure.first_mut()
            && *from < sure
        {
            self.forward.push((*from, sure));
            *from = sure;
        }
        unsure.append(&mut self.withheld);
        self.withheld = unsure;
    }

    /// What is for the client and not written yet.
    pub(super) fn take_forward(&mut self) -> Vec<u8> {
        let written = std::mem::take(&mut self.written);
        let all: Vec<u8> =
            self.forward.drain(..).flat_map(|(from, to)| self.buffer.range(from, to)).skip(written).copied().collect();
        all
    }

    /// The parameters among what is withheld, which the client is told whatever becomes of the request.
    pub(super) fn withheld_parameters(&self) -> Vec<u8> {
        parameters(&self.buffer, &self.withheld)
    }
}

fn parameters(buffer: &Buffer, ranges: &[(usize, usize)]) -> Vec<u8> {
    let mut found = Vec::new();
    for (from, to) in ranges {
        let mut rest = buffer.range(*from, *to);
        while let Ok(Some(header)) = crate::wire::frame::header(rest) {
            let Some((message, behind)) = rest.split_at_checked(header.size) else { break };
            if header.tag == b'S' {
                found.extend_from_slice(message);
            }
            rest = behind;
        }
    }
    found
}

// === impl Session ===

impl Session {
    /// From here on the bytes of the request are kept: it can be asked of another server until it is answered.
    pub(super) fn keep_request(&mut self) {
        self.inbox.mark = Some(self.inbox.start);
        self.replies.outline = Outline::keeping();
    }

    /// Behind a Flush the request goes on, of which nothing was run so far. Once all that came before is answered, the rest
    /// can be asked of another server.
    pub(super) fn keep_rest_of_request(&mut self) {
        if self.inbox.mark.is_none()
            && self.request_open
            && self.passing == 0
            && self.status == TxStatus::Idle
            && self.settled_pin == Pin::None
            && !self.begin.is_held()
            && self.replies.has_answered_what_was_prepared()
        {
            self.keep_request();
        }
    }

    /// It can't be asked of another server any more.
    pub(super) fn let_request_go(&mut self) {
        self.inbox.mark = None;
        self.replies.outline = Outline::default();
    }

    /// A request is answered that ended there. What was asked behind it can still be asked of another server.
    #[inline]
    pub(super) fn keep_what_follows(&mut self, end: Option<usize>) {
        match (self.inbox.mark, end) {
            (Some(_), Some(end))
                if self.status == TxStatus::Idle && self.settled_pin == Pin::None && !self.replies.is_quiet() =>
            {
                self.inbox.mark = Some(self.inbox.place(end));
                self.replies.outline = Outline::keeping();
            }
            _ => self.let_request_go(),
        }
    }

    /// After each read: whether what was read of an answer goes to the client at once.
    #[inline]
    pub(super) fn sift(&mut self, ex: &mut Exchange) {
        if self.inbox.mark.is_none() || ex.lost || ex.again.is_some() || self.replies.outline.is_past {
            return;
        }
        if self.may_withhold(ex) {
            ex.withhold();
        } else if self.replies.outline.has_answered {
            self.let_front_go();
        }
    }

    /// The request that is being answered can't be asked of another server any more. What was asked behind it can.
    fn let_front_go(&mut self) {
        let end = self.replies.awaited.front().and_then(|waiting| waiting.end);
        match end {
            Some(end) if self.status == TxStatus::Idle && self.settled_pin == Pin::None => {
                self.inbox.mark = Some(self.inbox.place(end));
                self.replies.outline = Outline::past();
            }
            _ => self.let_request_go(),
        }
    }

    /// The answer was begun, no more, by a standby, and the client has asked for its end.
    fn may_withhold(&self, ex: &Exchange) -> bool {
        let Some(server) = &ex.server else { return false };
        let outline = &self.replies.outline;
        !outline.is_final
            && !ex.forward.is_empty()
            && self.status == TxStatus::Idle
            && self.replies.awaited.front().is_some_and(|w| matches!(w.awaited, Awaited::Query | Awaited::Sync))
            && self.shared.topology.load().primary != Some(server.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::buffer::Buffers;

    fn exchange(bytes: &[u8]) -> Exchange {
        let mut ex = Exchange::default();
        ex.buffer = Buffers::new(64).take();
        ex.buffer.room()[..bytes.len()].copy_from_slice(bytes);
        ex.buffer.end = bytes.len();
        ex
    }

    fn text(ex: &Exchange, ranges: &[(usize, usize)]) -> String {
        ranges.iter().map(|(from, to)| String::from_utf8_lossy(ex.buffer.range(*from, *to)).into_owned()).collect()
    }

    #[test]
    fn what_is_unsure_stays_and_comes_first_later() {
        let mut ex = exchange(b"answered.begun");
        (ex.forward, ex.sure, ex.buffer.start) = (vec![(0, 3), (5, 14)], 9, 14);
        ex.withhold();
        assert_eq!((text(&ex, &ex.forward), text(&ex, &ex.withheld)), ("ansred.".to_owned(), "begun".to_owned()));
        ex.forward.clear();
        ex.make_room();
        assert_eq!((text(&ex, &ex.withheld), ex.withheld[0].0, ex.sure), ("begun".to_owned(), 0, 0));
        ex.buffer.room()[..3].copy_from_slice(b"row");
        ex.buffer.end += 3;
        ex.unwithhold();
        ex.forward.push((5, 8));
        assert_eq!((text(&ex, &ex.forward), ex.withheld.len()), ("begunrow".to_owned(), 0));
        ex.withhold();
        assert_eq!((ex.forward.len(), text(&ex, &ex.withheld)), (0, "begunrow".to_owned()));
    }

    #[test]
    fn parameters_are_found_among_other_messages() {
        let ex = exchange(b"1\0\0\0\x04S\0\0\0\x08a\0b\0T\0\0\0\x06");
        assert_eq!(parameters(&ex.buffer, &[(0, 5), (5, 19)]), b"S\0\0\0\x08a\0b\0");
    }
}
