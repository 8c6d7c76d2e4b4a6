//! The binary and base64 forms of AKA: whatever a device or a network sends as nonce, RAND‖AUTN or AUTS, nothing panics;
//! what was not made with the key is refused; a genuine challenge is accepted once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::aka::{Amf, Auts, Key, Opc, RandAutn, Refusal, Secrets, Sqn, SqnHistory};

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        read_text(text);
    }
    let Some((challenge, rest)) = data.split_first_chunk::<32>() else { return };
    let secrets = Secrets { key: Key::new([1; 16]), opc: Opc(Key::new([2; 16])) };
    let challenge = RandAutn::from_bytes(challenge);
    // To make a MAC of 64 bits by chance takes longer than fuzzing does.
    assert_eq!(secrets.verify(&challenge, &mut SqnHistory::default()), Err(Refusal::MacFailure));
    if let Some((auts, _)) = rest.split_first_chunk::<14>() {
        assert_eq!(secrets.recover_sqn(&challenge.rand, &Auts(*auts)), None);
    }
    if let Some((sqn, _)) = rest.split_first_chunk::<6>() {
        use_genuinely(&secrets, challenge.rand, Sqn::from_bytes(*sqn));
    }
});

fn read_text(text: &str) {
    if let Some(challenge) = RandAutn::from_nonce(text) {
        assert_eq!(RandAutn::from_nonce(&challenge.to_nonce()), Some(challenge));
    }
    if let Some(auts) = Auts::from_parameter(text) {
        assert_eq!(Auts::from_parameter(&auts.to_parameter()), Some(auts));
    }
}

fn use_genuinely(secrets: &Secrets, rand: [u8; 16], sqn: Sqn) {
    let vector = secrets.generate(Amf([0x80, 0]), sqn, rand);
    assert_eq!(secrets.authenticate(&vector.challenge), Some(sqn));
    let mut history = SqnHistory::default();
    if let Ok(accepted) = secrets.verify(&vector.challenge, &mut history) {
        assert_eq!(accepted.response, vector.expected_response);
    }
    let Err(Refusal::SyncFailure(auts)) = secrets.verify(&vector.challenge, &mut history) else {
        panic!("accepted twice");
    };
    assert_eq!(secrets.recover_sqn(&rand, &auts), Some(history.highest()));
}
