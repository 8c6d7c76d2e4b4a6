//! Subscriptions to the reg event package: SUBSCRIBE (RFC 6665, RFC 3680, TS 24.229 §5.4.2.1.1). What subscribers are
//! told stands in [`crate::notify`].
//!
//! Who may watch: the user's own identities, and the P-CSCFs in the Path of a contact.

use clock::{Duration, Instant};
use node::ServerKey;
use rand::Rng;
use sip::{Draft, Message, Name, NameAddress, Uri};

use crate::assign::Job;
use crate::register::Registrant;
use crate::registrar::{RegistrationSet, SetId};
use crate::text::Text;
use crate::watcher::{Watcher, id_of, tag_of};
use crate::{Scscf, Timer};

/// The subscription's length when the subscriber names none (RFC 3680 §4.4).
const SECONDS_DEFAULT: u32 = 3761;
/// The longest granted: what devices ask for (TS 24.229 §5.1.1.3).
const SECONDS_MAX: u32 = 600_000;
/// The shortest granted; below it 423.
const SECONDS_MIN: u32 = 60;
/// Most subscriptions to one set; one more ends the oldest.
const WATCHERS_MAX: usize = 16;

/// Is the Event of `request` the reg package?
pub(crate) fn is_reg(request: &Message) -> bool {
    let event = request.header(Name::Event).unwrap_or("");
    event.split(';').next().is_some_and(|package| package.trim().eq_ignore_ascii_case("reg"))
}

impl Scscf {
    /// A SUBSCRIBE outside a dialog, for set `id`.
    pub(crate) fn handle_subscribe(&mut self, now: Instant, server: ServerKey, request: &Message, id: SetId) {
        let Some(set) = self.registrar.set(id) else {
            return self.refuse(server, request, 480, "Temporarily Unavailable");
        };
        let Some(subscriber) = subscriber_of(request, set) else {
            self.event("subscription", "forbidden", "", "the subscriber is neither the user nor its P-CSCF");
            return self.refuse(server, request, 403, "Forbidden");
        };
        // A device that was switched off forgets its subscription, and ours of it may last for days: the oldest makes room.
        let surplus = (set.watchers.len() >= WATCHERS_MAX).then(|| set.watchers.first().copied()).flatten();
        let is_readable = request.header(Name::Accept).is_none()
            || request.values(Name::Accept).any(|each| {
                let media = each.split(';').next().unwrap_or("").trim();
                ["application/reginfo+xml", "application/*", "*/*"]
                    .iter()
                    .any(|ok| media.eq_ignore_ascii_case(ok))
            });
        if !is_readable {
            return self.refuse(server, request, 406, "Not Acceptable");
        }
        let Some(contact) = target_of(request) else {
            return self.refuse(server, request, 400, "Contact Is No SIP URI");
        };
        let Some(seconds) = self.granted_seconds(server, request) else { return };
        if let (Some(surplus), Some(set)) = (surplus, self.registrar.set(id).cloned()) {
            self.end_subscription(now, surplus, &set, "rejected");
        }
        let watcher_id = self.random.tag.next_u64();
        let mut response = Draft::response(request, 200, "OK", &tag_of(watcher_id));
        let watcher = Watcher {
            set: id,
            call_id: request.call_id().into(),
            local: response.header(Name::To).unwrap_or("").into(),
            remote: request.header(Name::From).unwrap_or("").into(),
            route: request.values(Name::RecordRoute).collect::<Vec<_>>().join(", ").into(),
            contact: contact.into(),
            event_id: event_id(request),
            is_device: subscriber.is_device,
            cseq: 0,
            remote_cseq: request.cseq().map_or(0, |cseq| cseq.number),
            version: 0,
            expires_at: now + Duration::from_secs(seconds.into()),
            notified_at: None,
            departed: Vec::new(),
        };
        self.complete_subscribe(&mut response, request, seconds);
        self.respond(server, response);
        self.watchers.insert(watcher_id, watcher);
        if let Some(set) = self.registrar.set_mut(id) {
            set.watchers.push(watcher_id);
        }
        self.after_subscribe(now, watcher_id, seconds);
        if subscriber.is_device && seconds > 0 {
            self.store_subscription(now, watcher_id);
        }
    }

    /// A SUBSCRIBE in the dialog of a subscription: refresh or end (RFC 6665 §4.2.1).
    pub(crate) fn handle_resubscribe(&mut self, now: Instant, server: ServerKey, request: &Message) {
        let id = request.to().and_then(|to| id_of(to.tag()?)).or_else(|| self.restored_watcher(request));
        let found = id.filter(|id| {
            self.watchers.find(*id).is_some_and(|watcher| *watcher.call_id == *request.call_id())
        });
        let Some(id) = found else {
            return self.refuse(server, request, 481, "Subscription Does Not Exist");
        };
        if !is_reg(request) {
            let mut response = self.response(request, 489, "Bad Event");
            response.push_back(Name::AllowEvents, "reg");
            return self.respond(server, response);
        }
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let is_old = self.watchers.find(id).is_some_and(|watcher| cseq <= watcher.remote_cseq);
        if is_old {
            // RFC 3261 §12.2.2.
            return self.refuse(server, request, 500, "CSeq Out of Order");
        }
        let Some(seconds) = self.granted_seconds(server, request) else { return };
        if let Some(watcher) = self.watchers.find_mut(id) {
            watcher.remote_cseq = cseq;
            watcher.expires_at = now + Duration::from_secs(seconds.into());
            if let Some(contact) = target_of(request) {
                watcher.contact = contact.into();
            }
        }
        let mut response = self.response(request, 200, "OK");
        self.complete_subscribe(&mut response, request, seconds);
        self.respond(server, response);
        self.after_subscribe(now, id, seconds);
    }

    /// A subscription that came back from the HSS has the tag of an earlier process, which is no number of ours.
    fn restored_watcher(&self, request: &Message) -> Option<u64> {
        let tag = request.to()?.tag()?.to_owned();
        let address = Uri::parse(request.to()?.uri_text).ok()?.address_of_record();
        let set = self.registrar.set(self.registrar.find(&address)?)?;
        set.watchers.iter().copied().find(|id| {
            let local = self.watchers.find(*id).and_then(|watcher| NameAddress::parse(&watcher.local));
            local.and_then(|local| local.tag()) == Some(&*tag)
        })
    }

    /// The seconds to grant; after 423, `None`.
    fn granted_seconds(&mut self, server: ServerKey, request: &Message) -> Option<u32> {
        let asked = request.number(Name::Expires).unwrap_or(SECONDS_DEFAULT);
        if asked != 0 && asked < SECONDS_MIN {
            let mut response = self.response(request, 423, "Interval Too Brief");
            response.push_back(Name::MinExpires, SECONDS_MIN.to_string());
            self.respond(server, response);
            return None;
        }
        Some(asked.min(SECONDS_MAX))
    }

    fn complete_subscribe(&self, response: &mut Draft, request: &Message, seconds: u32) {
        for value in request.headers(Name::RecordRoute) {
            response.push_back(Name::RecordRoute, value);
        }
        response.push_back(Name::Expires, seconds.to_string());
        response.push_back(Name::Contact, self.own.notifier_contact());
    }

    /// RFC 6665 §4.2.1.2: a NOTIFY follows each accepted SUBSCRIBE at once.
    fn after_subscribe(&mut self, now: Instant, id: u64, seconds: u32) {
        let identity = self.watchers.find(id).map(|watcher| watcher.remote.clone()).unwrap_or_default();
        self.event("subscription", if seconds == 0 { "ended" } else { "ok" }, &identity, "");
        if seconds == 0 {
            return self.on_subscription_expired(now, id);
        }
        let expires_at = self.watchers.find(id).map(|watcher| watcher.expires_at);
        self.timers.set(Timer::Subscription(id), expires_at);
        self.notify_at_once(now, id);
    }

    fn store_subscription(&mut self, now: Instant, id: u64) {
        if let Some(watcher) = self.watchers.find(id).cloned() {
            self.store_for(now, &watcher);
        }
    }

    /// GPP-R1: the HSS keeps a device's subscription with the contact it belongs to.
    pub(crate) fn store_for(&mut self, now: Instant, watcher: &Watcher) {
        let Some(set) = self.registrar.set(watcher.set) else { return };
        let owner = set
            .contacts
            .iter()
            .find(|contact| Uri::parse(contact.uri()).is_ok_and(|uri| watcher.targets(&uri)))
            .map(|contact| contact.private_identity.clone());
        let public = set.default_identity().map(|identity| identity.uri.clone());
        if let (Some(private_identity), Some(public_identity)) = (owner, public) {
            let registrant = Registrant { private_identity, public_identity };
            self.enqueue(now, Job::Store { registrant });
        }
    }
}

/// The Contact value to which NOTIFYs can be sent: not `*`, which means something in REGISTER only.
fn target_of(request: &Message) -> Option<&str> {
    let value = request.values(Name::Contact).next()?;
    let uri = NameAddress::parse(value)?.uri()?;
    matches!(uri.scheme, sip::uri::Scheme::Sip | sip::uri::Scheme::Sips).then_some(value)
}

/// Somebody who may subscribe.
struct Subscriber {
    /// The user's own device?
    is_device: bool,
}

fn subscriber_of(request: &Message, set: &RegistrationSet) -> Option<Subscriber> {
    let asserted: Vec<Uri<'_>> = request
        .values(Name::PAssertedIdentity)
        .filter_map(|value| NameAddress::parse(value)?.uri())
        .collect();
    let is_user = asserted
        .iter()
        .any(|uri| set.identity(&uri.address_of_record()).is_some_and(|identity| !identity.is_barred));
    if is_user {
        return Some(Subscriber { is_device: true });
    }
    let is_on_path = |uri: &Uri<'_>| {
        set.contacts.iter().any(|contact| {
            let first = contact.path.split(',').find_map(|value| NameAddress::parse(value.trim())?.uri());
            first.is_some_and(|path| same_host(&path, uri))
        })
    };
    asserted.iter().any(is_on_path).then_some(Subscriber { is_device: false })
}

fn same_host(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    match (a.host, b.host) {
        (sip::Host::Name(a), sip::Host::Name(b)) => a.eq_ignore_ascii_case(b),
        (a, b) => a == b,
    }
}

fn event_id(request: &Message) -> Option<Text> {
    let event = request.header(Name::Event)?;
    event.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("id").then(|| value.trim().into())
    })
}
