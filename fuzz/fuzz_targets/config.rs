//! The configuration of a function: read or refused, never a panic. (The resource `IMSCore` has a property test in its
//! crate: with coverage counters its Kubernetes types take many minutes to build.)
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(config) = serde_saphyr::from_str::<node::config::Config>(text) {
        let text = serde_saphyr::to_string(&config).expect("what was read can be written");
        let again = serde_saphyr::from_str::<node::config::Config>(&text).expect("and read again");
        assert_eq!(config, again);
    }
});
