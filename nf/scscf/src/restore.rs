//! Restoration (TS 23.380 §4.3, spec 4.6 GPP-R1 and R2): what the HSS keeps for us, and how a user who is not known
//! here, say after a restart, is brought back without disturbing the device.

use clock::{Instant, WallOrigin};
use diameter::cx::{self, RestorationInfo, ScscfRestorationInfo, ServerAssignmentType, SubscriptionInfo};
use node::{ServerKey, Unanswered};
use rand::Rng;
use serde::{Deserialize, Serialize};
use sip::{Message, Name, NameAddress, Uri};

use crate::contact::Contact;
use crate::registrar::SetId;
use crate::text::Text;
use crate::watcher::{Watcher, Watchers, id_of};
use crate::{Scscf, Timer, Waiting, charging, profile};

/// Most contacts that are taken back for one set.
const CONTACTS_MAX: usize = 32;

/// The second since 1970 from which CSeq and version of restored subscriptions count (2023-11-14): it leaves them
/// below 2³¹, as RFC 3261 §8.1.1.5 demands, for decades.
const NUMBERS_SINCE: u64 = 1_700_000_000;

/// What a user who was not known here is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// The user sends.
    Originating,
    /// The user is wanted.
    Terminating,
}

/// A request that waits for its user to be brought back.
#[derive(Serialize, Deserialize)]
pub(crate) struct Interrupted {
    /// Its server transaction.
    pub server: ServerKey,
    /// The request.
    pub request: Message,
    /// What for.
    pub role: Role,
    /// The user's public identity.
    pub public_identity: Text,
    /// Another identity to ask for if the HSS does not know that one.
    pub number: Option<Text>,
}

/// SCSCF-Restoration-Info of one private identity: its contacts, and the subscriptions of the devices behind them.
pub(crate) fn to_hss(
    private_identity: &Text,
    contacts: &[Contact],
    watcher_ids: &[u64],
    watchers: &Watchers,
    wall: WallOrigin,
) -> ScscfRestorationInfo {
    let subscription_of = |contact: &Contact| {
        let uri = Uri::parse(contact.uri()).ok()?;
        let watcher = watcher_ids
            .iter()
            .filter_map(|id| watchers.find(*id))
            .find(|watcher| watcher.is_device && watcher.targets(&uri))?;
        Some(SubscriptionInfo {
            call_id: watcher.call_id.to_string(),
            from: watcher.remote.to_string(),
            to: watcher.local.to_string(),
            record_route: watcher.route.to_string(),
            contact: watcher.contact.to_string(),
        })
    };
    let contacts = contacts
        .iter()
        .filter(|contact| contact.private_identity == *private_identity)
        .map(|contact| RestorationInfo {
            path: contact.path.to_string(),
            contact: contact.to_restoration(wall),
            subscription: subscription_of(contact),
        })
        .collect();
    ScscfRestorationInfo { private_identity: private_identity.to_string(), contacts }
}

impl Scscf {
    /// Asks the HSS for a user. NO_ASSIGNMENT in both roles: it changes nothing at the HSS, and is refused there when
    /// this server is not the user's. UNREGISTERED_USER would claim the user for services that an unregistered user
    /// gets, and there are none.
    pub(crate) fn bring_back(&mut self, interrupted: Interrupted) {
        let request = cx::Request::ServerAssignment(cx::ServerAssignmentRequest {
            private_identity: None,
            public_identities: vec![interrupted.public_identity.to_string()],
            server_name: self.own.server_name.to_string(),
            assignment_type: ServerAssignmentType::NoAssignment,
            user_data_already_available: false,
            restoration: None,
        });
        self.ask(request, Waiting::Restoration(interrupted));
    }

    /// SAA: go on with the request as if the user had been here all the time, or refuse it.
    pub(crate) fn on_restoration(
        &mut self,
        now: Instant,
        interrupted: Interrupted,
        answer: Result<cx::Answer, Unanswered>,
    ) {
        let is_unknown = matches!(&answer, Ok(answer) if answer.result() == cx::ResultCode::USER_UNKNOWN);
        if let Some(number) = interrupted.number.clone().filter(|_| is_unknown) {
            return self.bring_back(Interrupted { public_identity: number, number: None, ..interrupted });
        }
        let Interrupted { server, request, role, public_identity, .. } = interrupted;
        let outcome = match answer {
            Ok(cx::Answer::ServerAssignment(answer)) if answer.result.is_success() => {
                self.take_back(now, &public_identity, &answer);
                "not_registered"
            }
            Ok(_) => "not_registered",
            Err(_) => "hss_silent",
        };
        match (self.registrar.find(&public_identity), role) {
            (Some(id), Role::Originating) => self.originate(now, server, request, id, &public_identity),
            (Some(id), Role::Terminating) => self.terminate(now, server, request, id, &public_identity),
            (None, Role::Originating) => {
                self.event("restoration", outcome, &public_identity, "");
                self.refuse_with_restoration(server, &request);
            }
            (None, Role::Terminating) => {
                self.event("restoration", outcome, &public_identity, "");
                self.refuse(server, &request, 480, "Temporarily Unavailable");
            }
        }
    }

    fn take_back(&mut self, now: Instant, public_identity: &str, answer: &cx::ServerAssignmentAnswer) {
        // Another request may have brought the user back meanwhile: what is here now is newer than the HSS's memory.
        if self.registrar.find(public_identity).is_some() || answer.restoration.is_empty() {
            return;
        }
        let profile = match answer.user_data.as_deref().map(profile::parse) {
            Some(Ok(profile)) => profile,
            Some(Err(error)) => return self.alarm(error.to_string()),
            None => return,
        };
        let charging = answer.charging.as_ref().and_then(charging::function_addresses).map(Text::from);
        let id = self.registrar.put_profile(profile.identities, charging);
        self.take_contacts(now, id, &answer.restoration);
        self.on_contacts_changed(now, id, Vec::new(), false);
        if self.registrar.set(id).is_some() {
            self.event("restoration", "ok", public_identity, "");
        }
    }

    /// Adds the contacts and subscriptions that the HSS kept, if they are not over and not here already.
    pub(crate) fn take_contacts(&mut self, now: Instant, id: SetId, infos: &[ScscfRestorationInfo]) {
        for info in infos {
            let private_identity: Text = info.private_identity.as_str().into();
            for each in &info.contacts {
                let contact = Contact::from_restoration(
                    self.registrar.contact_numbers.draw(),
                    &private_identity,
                    &each.path,
                    &each.contact,
                    self.wall,
                    now,
                );
                let (Some(contact), Some(set)) = (contact, self.registrar.set_mut(id)) else { continue };
                if set.contacts.len() >= CONTACTS_MAX
                    || set.contacts.iter().any(|known| known.is_same_binding(&contact.value))
                {
                    continue;
                }
                let expires_at = contact.expires_at;
                set.contacts.push(contact);
                if let Some(subscription) = &each.subscription {
                    self.take_subscription(now, id, subscription, expires_at);
                }
            }
        }
    }

    /// A device's subscription that the HSS kept. Its length, version and CSeq are not among what Cx keeps: it lasts
    /// as long as its contact, and the numbers go on from the wall clock's seconds, which no earlier process can have
    /// reached by counting (RFC 3261 §12.2.1.1 and RFC 3680 §5.1 ask for growth, not for steps of one, when state is
    /// full).
    pub(crate) fn take_subscription(
        &mut self,
        now: Instant,
        set: SetId,
        info: &SubscriptionInfo,
        expires_at: Instant,
    ) {
        let seconds = (self.wall.at(now).0 / 1_000_000).saturating_sub(NUMBERS_SINCE);
        let number = (seconds & 0x3fff_ffff) as u32;
        let id = NameAddress::parse(&info.to)
            .and_then(|to| id_of(to.tag()?))
            .filter(|id| self.watchers.find(*id).is_none())
            .unwrap_or_else(|| self.random.tag.next_u64());
        let watcher = Watcher {
            set,
            call_id: info.call_id.as_str().into(),
            local: info.to.as_str().into(),
            remote: info.from.as_str().into(),
            route: info.record_route.as_str().into(),
            contact: info.contact.as_str().into(),
            event_id: None,
            is_device: true,
            cseq: number,
            remote_cseq: 0,
            version: number,
            expires_at,
            notified_at: Some(now),
            departed: Vec::new(),
        };
        self.watchers.insert(id, watcher);
        self.timers.set(Timer::Subscription(id), Some(expires_at));
        if let Some(set) = self.registrar.set_mut(set) {
            set.watchers.push(id);
        }
    }

    /// 504 that makes a device register anew (spec 4.6 GPP-R5, TS 24.229 §5.4.3.2 and §7.6).
    pub(crate) fn refuse_with_restoration(&mut self, server: ServerKey, request: &Message) {
        const BODY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
            <ims-3gpp version=\"1\"><alternative-service><type>restoration</type>\
            <reason>the registration is not known any more</reason>\
            <action>initial-registration</action></alternative-service></ims-3gpp>";
        let asserted = self.own.service_route();
        let mut response = self.response(request, 504, "Server Time-out");
        // The device compares it with its Service-Route before it believes the body (GPP-R6).
        response.push_back(Name::PAssertedIdentity, asserted);
        response.set_body("application/3gpp-ims+xml", BODY);
        self.respond(server, response);
    }
}
