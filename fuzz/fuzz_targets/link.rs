//! Whatever comes over a link between two instances: it panics nothing, a frame is read again as it was written, nothing that
//! was not sealed is opened. Each datagram of the input begins with its length in two bytes.
#![no_main]

use bytes::Bytes;
use clock::{Duration, Instant};
use libfuzzer_sys::fuzz_target;
use pair::Record;
use resilience::link::{Frame, Limits, Link};
use resilience::permission::Incarnation;
use resilience::seal::{PrivateKey, Seal};

fuzz_target!(|data: &[u8]| {
    let limits = Limits { datagram_bytes_max: 300, pieces_under_way_max: 64, ..Limits::default() };
    let mut link = Link::new(Incarnation(1), limits, Duration::from_micros(500));
    let (own, other) = (PrivateKey::from_random([1; 32]), PrivateKey::from_random([2; 32]));
    let mut seal = Seal::new(own, other.public(), b"fuzz", Incarnation(1), [3; 32]);
    let mut rest = data;
    let mut now = Instant::ZERO;
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        let (datagram, behind) = behind.split_at(length);
        rest = behind;
        now += Duration::from_micros(300);
        if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(datagram)) {
            assert_eq!(Frame::decode(frame.encode()), Ok(frame));
        }
        if let Ok(record) = Record::decode(Bytes::copy_from_slice(datagram)) {
            assert_eq!(Record::decode(record.encode()), Ok(record));
        }
        // At the bound of what waits it says so.
        let _ = link.push(vec![0; length].into());
        let _ = link.handle_datagram(now, Bytes::copy_from_slice(datagram));
        link.handle_timeout(now);
        while link.poll_datagram(now).is_some_and(|datagram| datagram.len() <= limits.datagram_bytes_max) {}
        while link.poll_event().is_some() {}
        assert!(!matches!(seal.open(now, datagram), Ok(Some(_))), "nobody sealed it");
    }
});
