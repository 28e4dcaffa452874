//! What goes to the server next: pieces of the client's own bytes where they lie, and pieces of ours between them,
//! written with one vectored write. Pure.

use std::io::IoSlice;

use crate::net::buffer::Buffer;

/// Slices given to one write; a longer batch takes further writes.
const MAX_SLICES: usize = 16;

/// A few of the client's bytes can make many of ours (a Bind whose statement must be prepared first).
const MAX_OWN: usize = 64 * 1024;

/// So many bytes of the client's are copied to ours ahead of them.
const COPIED: usize = 256;

#[derive(Default)]
pub struct Outbox {
    segments: Vec<Segment>,
    /// Our own bytes: rewritten heads, injected messages.
    own: Vec<u8>,
    /// Of the first segment, bytes already written.
    written: usize,
    /// First segment not wholly written.
    next: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    /// Positions in the client's buffer.
    Client(usize, usize),
    /// Positions in `own`.
    Own(usize, usize),
}

// === impl Outbox ===

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.next == self.segments.len()
    }

    /// More bytes of ours than should be added to.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.own.len() >= MAX_OWN
    }

    /// Forwards the bytes of `client` from `from` to `to` as they lie. A few of them behind bytes of ours are copied: that is
    /// cheaper than a slice of their own.
    #[inline]
    pub fn push_client(&mut self, client: &Buffer, from: usize, to: usize) {
        if from == to {
            return;
        }
        match self.segments.last_mut() {
            Some(Segment::Client(_, end)) if *end == from => *end = to,
            Some(Segment::Own(_, end)) if to - from <= COPIED => {
                self.own.extend_from_slice(client.range(from, to));
                *end = self.own.len();
            }
            _ => self.segments.push(Segment::Client(from, to)),
        }
    }

    /// Sends what `write` appends.
    #[inline]
    pub fn push_own(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.own.len();
        write(&mut self.own);
        let to = self.own.len();
        if let Some(Segment::Own(_, end)) = self.segments.last_mut() {
            *end = to;
        } else {
            self.segments.push(Segment::Own(from, to));
        }
    }

    /// The slices to write, at most [`MAX_SLICES`].
    #[inline]
    pub fn slices<'a>(&'a self, client: &'a Buffer, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut count = 0;
        let mut skip = self.written;
        for (slot, segment) in slices.iter_mut().zip(&self.segments[self.next..]) {
            let bytes = match *segment {
                Segment::Client(from, to) => client.range(from + skip, to),
                Segment::Own(from, to) => &self.own[from + skip..to],
            };
            skip = 0;
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    pub fn no_slices<'a>() -> [IoSlice<'a>; MAX_SLICES] {
        [IoSlice::new(&[]); MAX_SLICES]
    }

    /// `count` bytes were written.
    pub fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let (Segment::Client(from, to) | Segment::Own(from, to)) = self.segments[self.next];
            let left = to - from - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.next += 1;
        }
        if self.is_empty() {
            self.clear();
        }
    }

    pub fn clear(&mut self) {
        self.segments.clear();
        self.own.clear();
        self.own.shrink_to(4096);
        (self.written, self.next) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::buffer::Buffers;

    fn written(outbox: &Outbox, client: &Buffer) -> Vec<u8> {
        let mut slices = Outbox::no_slices();
        let count = outbox.slices(client, &mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn pieces_are_written_in_order_and_resume_anywhere() {
        let mut client = Buffers::new(512).take();
        client.room().iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
        let mut outbox = Outbox::default();
        outbox.push_own(|own| own.extend_from_slice(b"12"));
        outbox.push_own(|own| own.push(b'3'));
        outbox.push_client(&client, 1, 300);
        outbox.push_client(&client, 300, 301);
        outbox.push_own(|own| own.extend_from_slice(b"45"));
        outbox.push_client(&client, 310, 312);
        outbox.push_own(|own| own.push(b'6'));
        let whole = [b"123", client.range(1, 301), b"45", client.range(310, 312), b"6"].concat();
        assert_eq!(outbox.segments.len(), 3);
        for sent in 0..whole.len() {
            assert_eq!(written(&outbox, &client), &whole[sent..]);
            assert!(!outbox.is_empty());
            outbox.advance(1);
        }
        assert!(outbox.is_empty() && outbox.own.is_empty());
    }
}
