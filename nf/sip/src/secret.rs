//! Secrets of fixed length: they can be compared and revealed, never printed.

use std::fmt;

use crate::hex;

/// A secret of `N` bytes. `Debug` prints a redaction; [`Secret::reveal`] is the one way to the bytes.
#[derive(Clone, Copy)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Wraps the bytes.
    pub const fn new(bytes: [u8; N]) -> Self {
        Secret(bytes)
    }

    /// Reads exactly `2 * N` hexadecimal digits; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode_array(text).map(Secret)
    }

    /// The bytes, for computing and for storing under encryption.
    pub const fn reveal(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        is_equal(&self.0, &other.0)
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Are they equal? How long this takes tells an onlooker the lengths and nothing about the bytes.
pub fn is_equal(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b));
    // The barrier keeps the optimiser from leaving the fold as soon as the result is known.
    left.len() == right.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::<2>::from_hex("ABcd").expect("four digits");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.reveal(), &[0xAB, 0xCD]);
    }

    #[test]
    fn equality_sees_the_first_byte_the_last_byte_and_the_length() {
        assert!(is_equal(b"abc", b"abc") && is_equal(b"", b""));
        for other in [&b"xbc"[..], b"abx", b"ab", b"abcd", b""] {
            assert!(!is_equal(b"abc", other), "{other:?}");
        }
    }
}
