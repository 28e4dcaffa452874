//! Read buffers, and the free list each worker keeps of them: an idle session holds none.

use std::sync::{Mutex, PoisonError};

/// Bytes between `start` and `end` are read but not consumed.
#[derive(Default)]
pub struct Buffer {
    bytes: Box<[u8]>,
    pub start: usize,
    pub end: usize,
    /// From here on what was consumed is kept as well: `start` may go back there.
    pub mark: Option<usize>,
    /// Bytes that were dropped in front of it since it was taken: what a position counts from.
    dropped: usize,
    /// Room for a list of ranges of it, for whoever wants one: kept with it, so that no list is made anew.
    pub ranges: Vec<(usize, usize)>,
}

/// Buffers of one size, ready to be used again. One per worker, so the lock is never contended.
pub struct Buffers {
    size: usize,
    free: Mutex<Vec<Spare>>,
}

struct Spare {
    bytes: Box<[u8]>,
    ranges: Vec<(usize, usize)>,
}

/// A longer list of ranges is not kept.
const MAX_RANGES: usize = 64;

/// More spare buffers than this are given back to the allocator.
const MAX_FREE: usize = 256;

// === impl Buffer ===

impl Buffer {
    /// Holds nothing and can hold nothing: what an idle session has.
    pub fn none() -> Self {
        Self::default()
    }

    pub fn is_none(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Any part of what was read, by absolute positions.
    #[inline]
    pub fn range(&self, from: usize, to: usize) -> &[u8] {
        &self.bytes[from..to]
    }

    #[inline]
    pub fn byte_mut(&mut self, at: usize) -> &mut u8 {
        &mut self.bytes[at]
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// A place by a number that stays its own while bytes before it are dropped.
    #[inline]
    pub fn lasting(&self, at: usize) -> usize {
        self.dropped + at
    }

    /// Where that place is now; its bytes must be kept.
    #[inline]
    pub fn place(&self, lasting: usize) -> usize {
        lasting - self.dropped
    }

    /// Where the next read goes; empty when the buffer is full.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Puts `bytes` in place of those from `from` to `to`, all of them consumed; what is behind moves, what is before
    /// does not.
    pub fn replace(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let whole = [&self.bytes[..from], bytes, &self.bytes[to..self.end]].concat();
        let grown = from + bytes.len();
        (self.start, self.end) = (self.start - to + grown, whole.len());
        if whole.len() > self.bytes.len() {
            self.bytes = whole.into_boxed_slice();
        } else {
            self.bytes[..whole.len()].copy_from_slice(&whole);
        }
    }

    /// Moves what is unconsumed, or kept, to the front: makes room behind it.
    pub fn compact(&mut self) {
        let from = self.mark.unwrap_or(self.start);
        self.dropped += from;
        if from == self.end {
            (self.start, self.end) = (0, 0);
        } else if from > 0 {
            self.bytes.copy_within(from..self.end, 0);
            (self.start, self.end) = (self.start - from, self.end - from);
        }
        self.mark = self.mark.map(|_| 0);
    }

    /// Makes it hold at least `capacity` unconsumed bytes in all, what is unconsumed (or kept) at the front.
    pub fn grow(&mut self, capacity: usize) {
        self.compact();
        let capacity = capacity + self.start;
        if self.bytes.len() < capacity {
            let mut larger = vec![0; capacity].into_boxed_slice();
            larger[..self.end].copy_from_slice(&self.bytes[..self.end]);
            self.bytes = larger;
        }
    }
}

// === impl Buffers ===

impl Buffers {
    pub fn new(size: usize) -> Self {
        Self { size, free: Mutex::new(Vec::new()) }
    }

    /// An empty buffer of the usual size.
    pub fn take(&self) -> Buffer {
        let spare = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Spare { bytes, ranges } =
            spare.unwrap_or_else(|| Spare { bytes: vec![0; self.size].into_boxed_slice(), ranges: Vec::new() });
        Buffer { bytes, ranges, ..Buffer::default() }
    }

    /// Takes a buffer back; one that has grown is dropped.
    pub fn give(&self, buffer: &mut Buffer) {
        let Buffer { bytes, mut ranges, .. } = std::mem::replace(buffer, Buffer::none());
        if bytes.len() == self.size {
            ranges.clear();
            ranges.shrink_to(MAX_RANGES);
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() < MAX_FREE {
                free.push(Spare { bytes, ranges });
            }
        }
    }

    /// The usual size, in bytes.
    pub fn size(&self) -> usize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unconsumed_survives_compacting_and_growing() {
        let buffers = Buffers::new(8);
        let mut buffer = buffers.take();
        buffer.room()[..8].copy_from_slice(b"abcdefgh");
        (buffer.start, buffer.end) = (5, 8);
        buffer.compact();
        assert_eq!(buffer.filled(), b"fgh");
        assert_eq!(buffer.room().len(), 5);
        buffer.grow(20);
        assert_eq!((buffer.filled(), buffer.capacity()), (&b"fgh"[..], 20));
        buffer.start = 2;
        buffer.replace(0, 1, b"12");
        assert_eq!((buffer.range(0, 3), buffer.filled()), (&b"12g"[..], &b"h"[..]));
        buffer.replace(1, 3, &[b'x'; 30]);
        assert_eq!((buffer.range(0, 2), buffer.filled()), (&b"1x"[..], &b"h"[..]));
        (buffer.start, buffer.mark) = (buffer.end - 1, Some(buffer.end - 3));
        buffer.compact();
        assert_eq!(
            (buffer.mark, buffer.start, buffer.filled(), buffer.range(0, 3)),
            (Some(0), 2, &b"h"[..], &b"xxh"[..])
        );
        let lasting = buffer.lasting(2);
        (buffer.start, buffer.mark) = (3, Some(1));
        buffer.compact();
        assert_eq!((buffer.start, buffer.end, buffer.place(lasting)), (2, 2, 1));
        buffer.mark = None;
        buffer.compact();
        assert_eq!((buffer.start, buffer.end), (0, 0));
        buffers.give(&mut buffer);
        assert!(buffer.is_none() && buffers.free.lock().unwrap().is_empty());
    }
}
