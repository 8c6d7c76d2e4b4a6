//! What subscribers to the reg event package are told, and when: NOTIFY (RFC 3680, RFC 6665, TS 24.229 §5.4.2.1.2).
//!
//! Each subscriber hears at most once in 5 s, but for the last word. Documents carry full state, so that a lost one
//! harms nobody.

use clock::{Duration, Instant};
use node::{ClientKey, Decision};
use sip::{Draft, Message, Method, Name, NameAddress};

use crate::registrar::RegistrationSet;
use crate::{Scscf, Timer, reginfo};

/// RFC 3680 §4.10: not faster than once per 5 s per subscriber.
const PAUSE: Duration = Duration::from_secs(5);

impl Scscf {
    /// Tells a subscriber what is, now or as soon as the pause since the last time is over.
    pub(crate) fn notify(&mut self, now: Instant, id: u64) {
        let Some(watcher) = self.watchers.find(id) else { return };
        match watcher.notified_at.map(|at| at + PAUSE).filter(|next| *next > now) {
            Some(next) => self.timers.set(Timer::Notification(id), Some(next)),
            None => self.notify_at_once(now, id),
        }
    }

    pub(crate) fn notify_at_once(&mut self, now: Instant, id: u64) {
        let Some(set) = self.watchers.find(id).and_then(|watcher| self.registrar.set(watcher.set)) else {
            return;
        };
        let left = self
            .watchers
            .find(id)
            .map_or(0, |watcher| watcher.expires_at.saturating_since(now).as_micros().div_ceil(1_000_000));
        let set = set.clone();
        self.timers.set(Timer::Notification(id), None);
        self.send_notify(now, id, &set, &format!("active;expires={left}"));
    }

    fn send_notify(&mut self, now: Instant, id: u64, set: &RegistrationSet, state: &str) {
        let Some(watcher) = self.watchers.find_mut(id) else { return };
        let departed = std::mem::take(&mut watcher.departed);
        let body = reginfo::document(set, &departed, watcher.version, now);
        watcher.version += 1;
        watcher.cseq += 1;
        watcher.notified_at = Some(now);
        let target = NameAddress::parse(&watcher.contact).map_or("", |address| address.uri_text);
        let mut draft = Draft::request(Method::Notify, target);
        draft.push_back(Name::MaxForwards, node::forward::MAX_FORWARDS.to_string());
        draft.push_back(Name::From, &*watcher.local);
        draft.push_back(Name::To, &*watcher.remote);
        draft.push_back(Name::CallId, &*watcher.call_id);
        draft.push_back(Name::CSeq, format!("{} NOTIFY", watcher.cseq));
        if !watcher.route.is_empty() {
            draft.push_back(Name::Route, &*watcher.route);
        }
        draft.push_back(Name::Contact, self.own.notifier_contact());
        let event = watcher.event_id.as_ref().map_or_else(|| "reg".into(), |id| format!("reg;id={id}"));
        draft.push_back(Name::Event, event);
        draft.push_back(Name::SubscriptionState, state);
        draft.set_body("application/reginfo+xml", body);
        let destination = self.own.resolve_uri(node::forward::next_hop(&draft));
        let Some(destination) = destination else {
            return self.event(
                "notification",
                "unroutable",
                "",
                "the subscriber's Contact or route leads nowhere",
            );
        };
        let client = ClientKey(self.next_key());
        self.notifying.insert(client, id);
        self.output.push_back(Decision::Send { client, request: draft, destination });
    }

    /// The answer to a NOTIFY. Whoever does not take it does not want more (RFC 6665 §4.2.2); no NOTIFY carries
    /// Retry-After semantics here, because the next change brings full state anyway.
    pub(crate) fn handle_notify_response(&mut self, now: Instant, client: ClientKey, response: &Message) {
        if response.status() < 200 {
            return;
        }
        let Some(id) = self.notifying.remove(&client) else { return };
        if response.status() >= 300 && self.watchers.find(id).is_some() {
            self.event("notification", "refused", "", response.status().to_string());
            self.forget_subscription(now, id);
        }
    }

    /// The subscriber's time is over, or it said so.
    pub(crate) fn on_subscription_expired(&mut self, now: Instant, id: u64) {
        let Some(watcher) = self.watchers.find(id) else { return };
        match self.registrar.set(watcher.set).cloned() {
            Some(set) => self.end_subscription(now, id, &set, "timeout"),
            None => self.forget_subscription(now, id),
        }
    }

    /// The last NOTIFY, which waits for no pause.
    pub(crate) fn end_subscription(&mut self, now: Instant, id: u64, set: &RegistrationSet, reason: &str) {
        self.send_notify(now, id, set, &format!("terminated;reason={reason}"));
        self.forget_subscription(now, id);
    }

    fn forget_subscription(&mut self, now: Instant, id: u64) {
        self.timers.set(Timer::Subscription(id), None);
        self.timers.set(Timer::Notification(id), None);
        let Some(watcher) = self.watchers.remove(id) else { return };
        if let Some(set) = self.registrar.set_mut(watcher.set) {
            set.watchers.retain(|each| *each != id);
        }
        if watcher.is_device {
            self.store_for(now, &watcher);
        }
    }
}
