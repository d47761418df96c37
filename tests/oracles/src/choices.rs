//! What the first bytes of a fuzzer's input decide: limits, where chunks end, what fails when.

/// Takes decisions from the front of the input; one that has run out decides zero.
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    /// A byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A limit on both sides of what a small input holds: 1 to 255, or one that matters never.
    pub fn limit(&mut self) -> usize {
        match self.byte() {
            0 => 1 << 20,
            limit => limit.into(),
        }
    }

    /// A length, 1 to 256.
    pub fn length(&mut self) -> usize {
        usize::from(self.byte()) + 1
    }

    /// A number below 2^16.
    pub fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}
