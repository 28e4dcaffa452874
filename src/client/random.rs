//! Random bytes of the system, asked for many at a time: a call of the system for each client costs more than its key.

use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};

/// Asked for at once: the cancel keys of 64 clients at the least.
const BYTES: usize = 64 * MAX_KEY;

/// Longest cancel key we make (protocol 3.2; 3.0 knows 4 bytes).
pub const MAX_KEY: usize = 32;

/// Gives out no byte twice.
pub struct Random {
    bytes: [u8; BYTES],
    /// Given out already.
    used: usize,
}

/// What proves a cancel request.
#[derive(Clone)]
pub struct CancelKey {
    bytes: [u8; MAX_KEY],
    length: u8,
}

// === impl Random ===

impl Default for Random {
    fn default() -> Self {
        Self { bytes: [0; BYTES], used: BYTES }
    }
}

impl Random {
    /// Of `length` bytes, at most [`MAX_KEY`].
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn cancel_key(&mut self, length: usize) -> Result<CancelKey, Unspecified> {
        let mut bytes = [0; MAX_KEY];
        let length = length.min(MAX_KEY);
        self.fill(&mut bytes[..length])?;
        Ok(CancelKey { bytes, length: length as u8 })
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), Unspecified> {
        if self.used + out.len() > BYTES {
            SystemRandom::new().fill(&mut self.bytes)?;
            self.used = 0;
        }
        let given = &mut self.bytes[self.used..self.used + out.len()];
        out.copy_from_slice(given);
        given.fill(0);
        self.used += out.len();
        Ok(())
    }
}

// === impl CancelKey ===

impl CancelKey {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl From<[u8; 4]> for CancelKey {
    fn from(key: [u8; 4]) -> Self {
        let mut bytes = [0; MAX_KEY];
        bytes[..4].copy_from_slice(&key);
        Self { bytes, length: 4 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_is_given_out_twice_nor_kept() {
        let mut random = Random::default();
        let keys: HashSet<Vec<u8>> =
            (0..1000).map(|_| random.cancel_key(MAX_KEY).unwrap().as_bytes().to_vec()).collect();
        assert_eq!(keys.len(), 1000);
        assert!(random.bytes[..random.used].iter().all(|byte| *byte == 0));
        assert_eq!(random.cancel_key(4).unwrap().as_bytes().len(), 4);
    }
}
