//! Credentials at rest: AES-256-GCM under the key-encryption key.
//!
//! Each sealed field is bound to its subscriber and its name (the associated data), so that a ciphertext moved to
//! another subscriber, or the digest put where the AKA key was, does not open. The nonce is random for each write:
//! with 96 bits, 2³² writes under one key stay below a collision chance of 2⁻³² (NIST SP 800-38D §8.3).

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use rand::Rng;
use rand::rngs::StdRng;

/// The field could not be opened: another key-encryption key, or altered bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored credential does not open under the key-encryption key")]
pub struct Tampered;

const NONCE_BYTES: usize = 12;

/// Seals and opens credentials.
pub(crate) struct Vault {
    cipher: Aes256Gcm,
    nonces: StdRng,
}

impl Vault {
    pub(crate) fn new(key: &[u8; 32], nonces: StdRng) -> Self {
        Vault { cipher: Aes256Gcm::new(key.into()), nonces }
    }

    /// Nonce, then ciphertext with its tag.
    pub(crate) fn seal(&mut self, owner: &str, field: &str, secret: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        self.nonces.fill_bytes(&mut nonce);
        let associated = associated_data(owner, field);
        let sealed = self
            .cipher
            .encrypt(Nonce::from_slice(&nonce), Payload { msg: secret, aad: &associated })
            .expect("AES-GCM refuses only inputs of 64 GiB and more");
        [&nonce[..], &sealed].concat()
    }

    pub(crate) fn open(&self, owner: &str, field: &str, sealed: &[u8]) -> Result<Vec<u8>, Tampered> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES).ok_or(Tampered)?;
        let associated = associated_data(owner, field);
        self.cipher
            .decrypt(Nonce::from_slice(nonce), Payload { msg: ciphertext, aad: &associated })
            .map_err(|_| Tampered)
    }
}

/// A zero byte ends the owner's name, which contains none: no two pairs give the same bytes.
fn associated_data(owner: &str, field: &str) -> Vec<u8> {
    [owner.as_bytes(), b"\0", field.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn vault(key: u8) -> Vault {
        Vault::new(&[key; 32], StdRng::seed_from_u64(1))
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_owner_and_field_only() {
        let sealed = vault(1).seal("alice@ims.example", "aka", b"secret");
        assert_eq!(vault(1).open("alice@ims.example", "aka", &sealed).as_deref(), Ok(&b"secret"[..]));
        assert_eq!(vault(1).open("bob@ims.example", "aka", &sealed), Err(Tampered));
        assert_eq!(vault(1).open("alice@ims.example", "digest", &sealed), Err(Tampered));
        assert_eq!(vault(2).open("alice@ims.example", "aka", &sealed), Err(Tampered));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let sealed = vault(1).seal("a", "aka", b"secret");
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            assert_eq!(vault(1).open("a", "aka", &altered), Err(Tampered), "byte {position}");
        }
        assert_eq!(vault(1).open("a", "aka", &sealed[..5]), Err(Tampered));
    }

    #[test]
    fn the_same_secret_is_never_sealed_to_the_same_bytes() {
        let mut vault = vault(1);
        assert_ne!(vault.seal("a", "aka", b"secret"), vault.seal("a", "aka", b"secret"));
    }
}
