//! Any text is a resource or a mistake with a place and a reason; nothing panics.

use proptest::prelude::*;

/// A valid resource, to be damaged.
const SAMPLE: &str = include_str!("../../manifests/samples/ims-core.yaml");

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        let _ = crds::yaml::read_ims_core("core.yaml", &text).map_err(|mistake| mistake.to_string());
    }

    #[test]
    fn a_damaged_resource_is_read_or_refused(at in 0..SAMPLE.len(), length in 0usize..20, noise in "[\\n :\\[\\]{}&*!|>'\"%@`#,a-z0-9-]{0,20}") {
        let (from, to) = (at, (at + length).min(SAMPLE.len()));
        if SAMPLE.is_char_boundary(from) && SAMPLE.is_char_boundary(to) {
            let text = format!("{}{noise}{}", &SAMPLE[..from], &SAMPLE[to..]);
            if let Err(mistake) = crds::yaml::read_ims_core("core.yaml", &text) {
                prop_assert!(mistake.to_string().starts_with("core.yaml"));
            }
        }
    }
}
