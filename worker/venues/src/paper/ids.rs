//! Ids, and maps by them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use smol_str::SmolStr;
use tradewind_core::order::ClientOrderId;

/// A map by client order id. The ids are ours, digests most of them: they need no keyed hash against chosen keys.
pub(crate) type IdMap<T> = HashMap<ClientOrderId, T, BuildHasherDefault<IdHasher>>;

/// Folds the words of an id into one; the product spreads what differs over all bits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        /// 2^64 divided by the golden ratio, as in Fibonacci hashing.
        const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0 ^ word) * SPREAD;
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let folded = (product >> 64) as u64 ^ product as u64;
        self.0 = folded;
    }

    fn write_usize(&mut self, _length: usize) {
        // All ids have one length.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A prefix and a number, as in `PO17`.
pub(crate) fn numbered(prefix: &str, number: u64) -> SmolStr {
    let mut text = [0_u8; 24];
    let mut left = Some(number);
    // From the last digit to the first, then the prefix in front of them.
    let digits = std::iter::from_fn(|| {
        let number = left?;
        left = Some(number / 10).filter(|rest| *rest > 0);
        u8::try_from(number % 10).ok().map(|digit| b'0' + digit)
    });
    let mut length = 0;
    for (place, byte) in text.iter_mut().rev().zip(digits.chain(prefix.bytes().rev())) {
        *place = byte;
        length += 1;
    }
    let written = text.get(text.len() - length..).and_then(|text| str::from_utf8(text).ok());
    SmolStr::new(written.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use tradewind_core::name::Uid;
    use tradewind_core::order::{Incarnation, IntentId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn numbers_are_written_in_full() {
        for (number, text) in [(0, "P0"), (7, "P7"), (10, "P10"), (1_000, "P1000"), (90_210, "P90210")] {
            assert_eq!(numbered("P", number), text);
        }
        assert_eq!(numbered("PO", u64::MAX), "PO18446744073709551615");
    }

    #[test]
    fn ids_that_differ_in_little_hash_apart() {
        let hash = |id: Uuid| BuildHasherDefault::<IdHasher>::default().hash_one(ClientOrderId(id));
        let counted = (0..10_000).map(Uuid::from_u128);
        let shifted = (0..10_000).map(|n| Uuid::from_u128(n << 96));
        let derived =
            (0..10_000).map(|n| ClientOrderId::derive(Incarnation(1), Uid(Uuid::nil()), IntentId(n)).0);
        for ids in [counted.collect::<Vec<_>>(), shifted.collect(), derived.collect()] {
            // Both the bits that choose a bucket and those that tell its entries apart.
            let low: HashSet<u64> = ids.iter().map(|id| hash(*id) & 0xf_ffff).collect();
            let high: HashSet<u64> = ids.iter().map(|id| hash(*id) >> 44).collect();
            assert!(low.len() > 9_800 && high.len() > 9_800, "{} {}", low.len(), high.len());
        }
    }
}
