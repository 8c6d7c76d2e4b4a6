//! The user profile that the HSS sends (TS 29.228 annex B and E): which public identities are registered together, and
//! which of them are barred. Initial filter criteria are not read: there are no application servers yet.
//!
//! The document is read and dropped; what stays is a list of identities. Foreign bytes never panic here.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sip::uri::{Scheme, Uri};

use crate::text::Text;

/// Longest document that is read.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Most identities in one implicit registration set; the rest of the document is left unread.
const IDENTITIES_MAX: usize = 64;

/// A public identity of an implicit registration set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its canonical form, [`Uri::address_of_record`].
    pub uri: Text,
    /// May it neither call nor be called?
    pub is_barred: bool,
}

impl Identity {
    pub(crate) fn is_tel(&self) -> bool {
        self.uri.starts_with("tel:")
    }
}

/// What is kept of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The private identity it was sent for.
    pub private_identity: Text,
    /// The implicit registration set, in the order of the document.
    pub identities: Vec<Identity>,
}

/// Why a profile cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// More bytes than any honest profile.
    #[error("the user profile is longer than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong,
    /// Not UTF-8, not XML, or not an IMSSubscription.
    #[error("the user profile cannot be read: {0}")]
    Malformed(String),
    /// It names nobody.
    #[error("the user profile has no public identity")]
    Empty,
}

/// Reads an IMSSubscription document.
pub fn parse(document: &[u8]) -> Result<Profile, ProfileError> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(ProfileError::TooLong);
    }
    let text = std::str::from_utf8(document).map_err(|error| ProfileError::Malformed(error.to_string()))?;
    // Some HSSs end the document with a zero byte or a line feed.
    let text = text.trim_matches(|character: char| character == '\0' || character.is_whitespace());
    let document =
        roxmltree::Document::parse(text).map_err(|error| ProfileError::Malformed(error.to_string()))?;
    let root = document.root_element();
    if root.tag_name().name() != "IMSSubscription" {
        return Err(ProfileError::Malformed("its root is not IMSSubscription".into()));
    }
    let mut seen = BTreeSet::new();
    let identities: Vec<Identity> = children(root, "ServiceProfile")
        .flat_map(|profile| children(profile, "PublicIdentity"))
        .filter_map(identity_of)
        .filter(|identity| seen.insert(identity.uri.clone()))
        .take(IDENTITIES_MAX)
        .collect();
    if identities.is_empty() {
        return Err(ProfileError::Empty);
    }
    let private_identity =
        children(root, "PrivateID").find_map(|node| node.text()).unwrap_or("").trim().into();
    Ok(Profile { private_identity, identities })
}

fn children<'a, 'd: 'a>(
    node: roxmltree::Node<'a, 'd>,
    name: &'static str,
) -> impl Iterator<Item = roxmltree::Node<'a, 'd>> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

fn identity_of(node: roxmltree::Node<'_, '_>) -> Option<Identity> {
    let text = children(node, "Identity").find_map(|node| node.text())?.trim();
    let uri = Uri::parse(text).ok().filter(|uri| uri.scheme != Scheme::Other)?;
    // TS 29.228 annex E: xs:boolean, so both "1" and "true" bar.
    let is_barred = children(node, "BarringIndication")
        .find_map(|node| node.text())
        .is_some_and(|text| matches!(text.trim(), "1" | "true"));
    Some(Identity { uri: uri.address_of_record().into(), is_barred })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identities_of_all_service_profiles_form_one_set_in_their_order() {
        let document = r#"<?xml version="1.0" encoding="UTF-8"?>
            <IMSSubscription xmlns="urn:ietf:params:xml:ns:x"><PrivateID>alice@ims.example</PrivateID>
            <ServiceProfile><PublicIdentity><BarringIndication>1</BarringIndication><Identity>sip:hidden@ims.example</Identity></PublicIdentity>
              <PublicIdentity><Identity>sip:alice@IMS.example</Identity></PublicIdentity></ServiceProfile>
            <ServiceProfile><PublicIdentity><Identity>tel:+1-202-555</Identity></PublicIdentity>
              <PublicIdentity><Identity>sip:alice@ims.example</Identity></PublicIdentity></ServiceProfile></IMSSubscription>"#;
        let profile = parse(document.as_bytes()).unwrap();
        let found: Vec<_> = profile.identities.iter().map(|each| (&*each.uri, each.is_barred)).collect();
        assert_eq!(
            found,
            [("sip:hidden@ims.example", true), ("sip:alice@ims.example", false), ("tel:+1202555", false)]
        );
        assert_eq!(&*profile.private_identity, "alice@ims.example");
    }

    #[test]
    fn what_is_no_profile_is_an_error_and_not_a_panic() {
        for document in
            [&b""[..], b"<a/>", b"\xff\xfe", b"<IMSSubscription/>", b"<IMSSubscription>", &[0; 300_000]]
        {
            assert!(parse(document).is_err());
        }
        let entities = b"<!DOCTYPE x [<!ENTITY a \"aaaa\">]><IMSSubscription>&a;</IMSSubscription>";
        assert!(parse(entities).is_err());
    }
}
