//! The service profile document that SAA and PPR carry (TS 29.228 annexes B and E).
//!
//! One `ServiceProfile` with the identities of one implicit set, in the order provisioned. There are no initial filter
//! criteria: the schema lets them be absent, and so do other S-CSCFs.

use std::fmt::Write;

use bytes::Bytes;

use crate::record::Subscriber;

/// The profile of the implicit set `set`.
pub(crate) fn user_data(private_identity: &str, subscriber: &Subscriber, set: u8) -> Bytes {
    let mut document = String::with_capacity(256);
    document.push_str(r#"<?xml version="1.0" encoding="UTF-8"?><IMSSubscription><PrivateID>"#);
    escape(&mut document, private_identity);
    document.push_str("</PrivateID><ServiceProfile>");
    for identity in subscriber.set(set) {
        // The order of the two is fixed by the schema's sequence.
        let barring = u8::from(identity.is_barred);
        write!(document, "<PublicIdentity><BarringIndication>{barring}</BarringIndication><Identity>")
            .expect("writing to a String does not fail");
        escape(&mut document, &identity.uri);
        document.push_str("</Identity></PublicIdentity>");
    }
    document.push_str("</ServiceProfile></IMSSubscription>");
    document.into()
}

fn escape(document: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => document.push_str("&lt;"),
            '>' => document.push_str("&gt;"),
            '&' => document.push_str("&amp;"),
            '"' => document.push_str("&quot;"),
            '\'' => document.push_str("&apos;"),
            // Control characters cannot stand in XML 1.0 at all, not even escaped.
            other if other.is_control() => document.push('\u{fffd}'),
            other => document.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PublicIdentity;

    #[test]
    fn a_profile_has_the_identities_of_one_set_in_order_and_escaped() {
        let identity =
            |uri: &str, is_barred, implicit_set| PublicIdentity { uri: uri.into(), is_barred, implicit_set };
        let subscriber = Subscriber {
            public_identities: vec![
                identity("sip:a&b@ims.example", true, 0),
                identity("sip:other@ims.example", false, 1),
                identity("tel:+49301", false, 0),
            ],
            ..Default::default()
        };
        assert_eq!(
            user_data("a@ims.example", &subscriber, 0),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><IMSSubscription><PrivateID>a@ims.example</PrivateID><ServiceProfile>\
             <PublicIdentity><BarringIndication>1</BarringIndication><Identity>sip:a&amp;b@ims.example</Identity></PublicIdentity>\
             <PublicIdentity><BarringIndication>0</BarringIndication><Identity>tel:+49301</Identity></PublicIdentity>\
             </ServiceProfile></IMSSubscription>"
        );
    }
}
