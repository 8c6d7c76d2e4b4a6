//! The resource `IMSCore` and the configuration of a function: accepted or refused with a place and a reason, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(mistake) = crds::yaml::read_ims_core("core.yaml", text) {
        assert!(!mistake.to_string().is_empty());
    }
    let _ = crds::yaml::typed::<node::config::Config>("function.yaml", text);
});
