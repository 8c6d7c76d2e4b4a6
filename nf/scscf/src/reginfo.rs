//! The reginfo document (RFC 3680 §5): always full state, with the contacts that went since the last one.

use clock::Instant;

use crate::contact::Contact;
use crate::registrar::RegistrationSet;

/// The document for a subscriber: one registration for each public identity that is not barred (TS 24.229 §5.4.2.1.2).
pub(crate) fn document(set: &RegistrationSet, departed: &[Contact], version: u32, now: Instant) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" state=\"full\">\r\n"
    );
    let state = if set.contacts.is_empty() { "terminated" } else { "active" };
    for (number, identity) in set.identities.iter().filter(|identity| !identity.is_barred).enumerate() {
        let aor = escaped(&identity.uri);
        text.push_str(&format!("<registration aor=\"{aor}\" id=\"r{number}\" state=\"{state}\">\r\n"));
        for contact in &set.contacts {
            push_contact(&mut text, number, contact, "active", now);
        }
        for contact in departed.iter().filter(|gone| set.contacts.iter().all(|each| each.id != gone.id)) {
            push_contact(&mut text, number, contact, "terminated", now);
        }
        text.push_str("</registration>\r\n");
    }
    text.push_str("</reginfo>\r\n");
    text
}

fn push_contact(text: &mut String, registration: usize, contact: &Contact, state: &str, now: Instant) {
    let event = contact.event.as_str();
    let duration = now.saturating_since(contact.since).as_secs();
    text.push_str(&format!(
        "<contact id=\"r{registration}c{}\" state=\"{state}\" event=\"{event}\" duration-registered=\"{duration}\"",
        contact.id
    ));
    if state == "active" {
        text.push_str(&format!(" expires=\"{}\"", contact.seconds_left(now)));
    }
    if let Some(q) = contact.parameter("q").filter(|q| q.parse::<f32>().is_ok()) {
        text.push_str(&format!(" q=\"{}\"", escaped(q)));
    }
    if !contact.call_id.is_empty() {
        text.push_str(&format!(" callid=\"{}\" cseq=\"{}\"", escaped(&contact.call_id), contact.cseq));
    }
    text.push_str(&format!("><uri>{}</uri>", escaped(contact.uri())));
    if let Some(instance) = contact.parameter("+sip.instance") {
        text.push_str(&format!(
            "<unknown-param name=\"+sip.instance\">{}</unknown-param>",
            escaped(instance)
        ));
    }
    text.push_str("</contact>\r\n");
}

/// XML text and attribute values; what XML 1.0 cannot carry at all becomes `?`.
fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => result.push_str("&amp;"),
            '<' => result.push_str("&lt;"),
            '>' => result.push_str("&gt;"),
            '"' => result.push_str("&quot;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => result.push('?'),
            other => result.push(other),
        }
    }
    result
}
