//! All chance of a play comes from its seed.

/// SplitMix64.
pub(super) struct Dice(pub(super) u64);

// === impl Dice ===

impl Dice {
    /// From 0 to below `below`.
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.roll(to - from + 1)
    }

    pub(super) fn index(&mut self, below: usize) -> usize {
        self.roll(below as u64) as usize
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }
}
