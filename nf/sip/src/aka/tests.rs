//! Milenage against the vectors of TS 35.208; network and device against each other.

use super::*;
use crate::hex::decode_array;

/// One test set of TS 35.208: every input and output of Milenage.
struct TestSet {
    k: &'static str,
    op: &'static str,
    opc: &'static str,
    rand: &'static str,
    sqn: &'static str,
    amf: &'static str,
    f1: &'static str,
    f1_star: &'static str,
    f2: &'static str,
    f3: &'static str,
    f4: &'static str,
    f5: &'static str,
    f5_star: &'static str,
}

const SETS: [TestSet; 6] = [
    TestSet {
        k: "465b5ce8b199b49faa5f0a2ee238a6bc",
        op: "cdc202d5123e20f62b6d676ac72cb318",
        opc: "cd63cb71954a9f4e48a5994e37a02baf",
        rand: "23553cbe9637a89d218ae64dae47bf35",
        sqn: "ff9bb4d0b607",
        amf: "b9b9",
        f1: "4a9ffac354dfafb3",
        f1_star: "01cfaf9ec4e871e9",
        f2: "a54211d5e3ba50bf",
        f3: "b40ba9a3c58b2a05bbf0d987b21bf8cb",
        f4: "f769bcd751044604127672711c6d3441",
        f5: "aa689c648370",
        f5_star: "451e8beca43b",
    },
    TestSet {
        k: "0396eb317b6d1c36f19c1c84cd6ffd16",
        op: "ff53bade17df5d4e793073ce9d7579fa",
        opc: "53c15671c60a4b731c55b4a441c0bde2",
        rand: "c00d603103dcee52c4478119494202e8",
        sqn: "fd8eef40df7d",
        amf: "af17",
        f1: "5df5b31807e258b0",
        f1_star: "a8c016e51ef4a343",
        f2: "d3a628ed988620f0",
        f3: "58c433ff7a7082acd424220f2b67c556",
        f4: "21a8c1f929702adb3e738488b9f5c5da",
        f5: "c47783995f72",
        f5_star: "30f1197061c1",
    },
    TestSet {
        k: "fec86ba6eb707ed08905757b1bb44b8f",
        op: "dbc59adcb6f9a0ef735477b7fadf8374",
        opc: "1006020f0a478bf6b699f15c062e42b3",
        rand: "9f7c8d021accf4db213ccff0c7f71a6a",
        sqn: "9d0277595ffc",
        amf: "725c",
        f1: "9cabc3e99baf7281",
        f1_star: "95814ba2b3044324",
        f2: "8011c48c0c214ed2",
        f3: "5dbdbb2954e8f3cde665b046179a5098",
        f4: "59a92d3b476a0443487055cf88b2307b",
        f5: "33484dc2136b",
        f5_star: "deacdd848cc6",
    },
    TestSet {
        k: "9e5944aea94b81165c82fbf9f32db751",
        op: "223014c5806694c007ca1eeef57f004f",
        opc: "a64a507ae1a2a98bb88eb4210135dc87",
        rand: "ce83dbc54ac0274a157c17f80d017bd6",
        sqn: "0b604a81eca8",
        amf: "9e09",
        f1: "74a58220cba84c49",
        f1_star: "ac2cc74a96871837",
        f2: "f365cd683cd92e96",
        f3: "e203edb3971574f5a94b0d61b816345d",
        f4: "0c4524adeac041c4dd830d20854fc46b",
        f5: "f0b9c08ad02e",
        f5_star: "6085a86c6f63",
    },
    TestSet {
        k: "4ab1deb05ca6ceb051fc98e77d026a84",
        op: "2d16c5cd1fdf6b22383584e3bef2a8d8",
        opc: "dcf07cbd51855290b92a07a9891e523e",
        rand: "74b0cd6031a1c8339b2b6ce2b8c4a186",
        sqn: "e880a1b580b6",
        amf: "9f07",
        f1: "49e785dd12626ef2",
        f1_star: "9e85790336bb3fa2",
        f2: "5860fc1bce351e7e",
        f3: "7657766b373d1c2138f307e3de9242f9",
        f4: "1c42e960d89b8fa99f2744e0708ccb53",
        f5: "31e11a609118",
        f5_star: "fe2555e54aa9",
    },
    TestSet {
        k: "6c38a116ac280c454f59332ee35c8c4f",
        op: "1ba00a1a7c6700ac8c3ff3e96ad08725",
        opc: "3803ef5363b947c6aaa225e58fae3934",
        rand: "ee6466bc96202c5a557abbeff8babf63",
        sqn: "414b98222181",
        amf: "4464",
        f1: "078adfb488241a57",
        f1_star: "80246b8d0186bcf1",
        f2: "16c8233f05a0ac28",
        f3: "3f8c7587fe8e4b233af676aede30ba3b",
        f4: "a7466cc1e6b2a1337d49d3b66e95d7b4",
        f5: "45b0f69ab06c",
        f5_star: "1f53cd2b1113",
    },
];

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    decode_array(text).expect("hexadecimal of the right length")
}

impl TestSet {
    fn secrets(&self) -> Secrets {
        let key = Key::new(bytes(self.k));
        Secrets { key, opc: Opc::derive(&key, &Op(Secret::new(bytes(self.op)))) }
    }

    fn sqn(&self) -> Sqn {
        Sqn::from_bytes(bytes(self.sqn))
    }

    fn vector(&self) -> Vector {
        self.secrets().generate(Amf(bytes(self.amf)), self.sqn(), bytes(self.rand))
    }

    /// A device that has last accepted the SQN `steps` SEQ before this set's.
    fn history(&self, steps: u64) -> SqnHistory {
        let seq = self.sqn().seq() - steps;
        SqnHistory::starting_at(Sqn::from_parts(seq, self.sqn().ind()).expect("smaller than a valid one"))
    }
}

#[test]
fn the_vectors_are_those_of_ts_35_208() {
    for set in &SETS {
        let vector = set.vector();
        assert_eq!(set.secrets().opc.0.reveal(), &bytes(set.opc));
        assert_eq!(vector.challenge.rand, bytes(set.rand));
        assert_eq!(vector.challenge.autn[..6], xor(bytes(set.sqn), bytes(set.f5)));
        assert_eq!(vector.challenge.autn[6..8], bytes::<2>(set.amf));
        assert_eq!(vector.challenge.autn[8..], bytes::<8>(set.f1));
        assert_eq!(vector.expected_response.reveal(), &bytes(set.f2));
        assert_eq!(vector.confidentiality_key.reveal(), &bytes(set.f3));
        assert_eq!(vector.integrity_key.reveal(), &bytes(set.f4));
    }
}

#[test]
fn f1_star_and_f5_star_are_those_of_ts_35_208() {
    for set in &SETS {
        let mut milenage = set.secrets().milenage();
        assert_eq!(milenage.f1star(&bytes(set.rand), &bytes(set.sqn), &bytes(set.amf)), bytes(set.f1_star));
        assert_eq!(milenage.f5star(&bytes(set.rand)), bytes(set.f5_star));
    }
}

#[test]
fn the_device_accepts_the_networks_vector_once_and_computes_the_same() {
    for set in &SETS {
        let (vector, mut history) = (set.vector(), set.history(1));
        let accepted = set.secrets().verify(&vector.challenge, &mut history).expect("it is fresh");
        assert_eq!(accepted.response, vector.expected_response);
        assert_eq!(accepted.confidentiality_key, vector.confidentiality_key);
        assert_eq!(accepted.integrity_key, vector.integrity_key);
        let again = set.secrets().verify(&vector.challenge, &mut history);
        assert!(matches!(again, Err(Refusal::SyncFailure(_))));
    }
}

#[test]
fn a_stale_sqn_gives_an_auts_from_which_the_network_learns_the_devices_sqn() {
    for set in &SETS {
        let vector = set.vector();
        let mut history = set.history(0);
        let Err(Refusal::SyncFailure(auts)) = set.secrets().verify(&vector.challenge, &mut history) else {
            panic!("the SQN is not fresh");
        };
        assert_eq!(auts.0[..6], xor(bytes(set.sqn), bytes(set.f5_star)));
        assert_eq!(set.secrets().recover_sqn(&vector.challenge.rand, &auts), Some(set.sqn()));
        assert_eq!(Auts::from_parameter(&auts.to_parameter()), Some(auts));
        assert_eq!(Auts::from_parameter(auts.to_parameter().trim_end_matches('=')), Some(auts));
    }
}

#[test]
fn one_wrong_bit_anywhere_in_autn_is_a_mac_failure() {
    let (set, vector) = (&SETS[0], SETS[0].vector());
    for bit in 0..128 {
        let mut challenge = vector.challenge;
        challenge.autn[bit / 8] ^= 1 << (bit % 8);
        let mut history = set.history(1);
        assert_eq!(set.secrets().verify(&challenge, &mut history), Err(Refusal::MacFailure), "bit {bit}");
        assert_eq!(history, set.history(1));
    }
}

#[test]
fn one_wrong_bit_anywhere_in_auts_is_refused() {
    let (set, rand) = (&SETS[0], bytes(SETS[0].rand));
    let auts = set.secrets().resynchronise(&rand, set.sqn());
    for bit in 0..112 {
        let mut forged = auts;
        forged.0[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(set.secrets().recover_sqn(&rand, &forged), None, "bit {bit}");
    }
}

#[test]
fn another_sims_challenge_is_a_mac_failure() {
    let challenge = SETS[1].vector().challenge;
    assert_eq!(SETS[0].secrets().authenticate(&challenge), None);
    assert_eq!(SETS[1].secrets().authenticate(&challenge), Some(SETS[1].sqn()));
}

#[test]
fn a_nonce_may_carry_data_of_the_server_behind_autn() {
    let challenge = SETS[0].vector().challenge;
    assert_eq!(RandAutn::from_nonce(&challenge.to_nonce()), Some(challenge));
    let mut longer = challenge.to_bytes().to_vec();
    longer.extend(b"server");
    assert_eq!(RandAutn::from_nonce(&BASE64.encode(&longer)), Some(challenge));
    assert_eq!(RandAutn::from_nonce(&BASE64.encode(&longer[..31])), None);
    assert_eq!(RandAutn::from_nonce("not base64"), None);
}

#[test]
fn nothing_prints_a_secret() {
    let set = &SETS[0];
    let accepted = set.secrets().respond(&bytes(set.rand));
    let printed = format!("{:?} {:?} {:?}", set.secrets(), set.vector(), accepted);
    for secret in [set.k, set.opc, set.f2, set.f3, set.f4] {
        assert!(!printed.contains(secret));
        let as_list = format!("{:?}", crate::hex::decode(secret).expect("hexadecimal"));
        assert!(!printed.contains(as_list.trim_matches(['[', ']'])));
    }
}
