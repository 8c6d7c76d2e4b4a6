//! Registration of a device: REGISTER, the challenge, refresh, de-registration (TS 24.229 5.1.1).

use clock::{Duration, Instant};
use sip::{Message, Name, NameAddress};

use crate::credentials::Answered;
use crate::device::{Device, Purpose, TimerKey};
use crate::report::{Failure, Report};
use crate::text::{RequestText, contact_uri};

/// Challenges a device answers in one registration before it gives up.
const CHALLENGES_MAX: u32 = 3;

/// What a device knows of its registration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registration {
    /// Service-Route values of the last 200, in order.
    pub service_route: Vec<String>,
    /// When it ends; `None` when not registered.
    pub expires_at: Option<Instant>,
    call_id: String,
    cseq: u32,
    /// Challenges answered since the last order.
    challenges: u32,
    /// Expires asked for by the order in progress.
    expires_seconds: u32,
    /// Expires of an order that waits for the one in progress.
    next_expires_seconds: Option<u32>,
}

impl Device {
    /// Registers, or refreshes the registration.
    pub fn register(&mut self, now: Instant) {
        self.start_registration(now, self.profile.registration_seconds);
    }

    /// Ends the registration of this device.
    pub fn deregister(&mut self, now: Instant) {
        self.start_registration(now, 0);
    }

    /// Switches the device off and on: it forgets all but its SIM.
    pub fn restart(&mut self) {
        let history = self.profile.credentials.clone();
        let seed = self.unique("").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        *self = Device::new(crate::Profile { credentials: history, ..self.profile.clone() }, seed);
    }

    fn start_registration(&mut self, now: Instant, expires_seconds: u32) {
        if self.is_registering() {
            // RFC 3261 §10.2: no new registration before the last one has its answer.
            self.registration.next_expires_seconds = Some(expires_seconds);
            return;
        }
        if self.registration.call_id.is_empty() {
            self.registration.call_id = self.unique("reg");
        }
        self.registration.challenges = 0;
        self.registration.expires_seconds = expires_seconds;
        let authorization =
            self.profile.credentials.initial(&self.profile.private_identity, &self.profile.home_domain);
        self.send_register(now, &authorization);
    }

    fn send_register(&mut self, now: Instant, authorization: &str) {
        self.registration.cseq += 1;
        let branch = self.unique("z9hG4bK");
        let tag = self.unique("t");
        let profile = &self.profile;
        let seconds = self.registration.expires_seconds;
        let bytes = RequestText::new(profile, "REGISTER", &format!("sip:{}", profile.home_domain), &branch)
            .header("From", format!("<{}>;tag={tag}", profile.public_identity))
            .header("To", format!("<{}>", profile.public_identity))
            .header("Call-ID", &self.registration.call_id)
            .header("CSeq", format!("{} REGISTER", self.registration.cseq))
            .header("Contact", format!("<{}>;expires={seconds}", contact_uri(profile)))
            .header("Expires", seconds)
            .header("Supported", "path, gruu")
            .header("P-Access-Network-Info", "3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000001")
            .header("Authorization", authorization)
            .finish(None, "");
        self.start(now, branch, "REGISTER", Purpose::Register, bytes);
    }

    pub(crate) fn on_register_answer(&mut self, now: Instant, sent_at: Instant, response: Option<&Message>) {
        self.take_register_answer(now, sent_at, response);
        if !self.is_registering()
            && let Some(expires_seconds) = self.registration.next_expires_seconds.take()
        {
            self.start_registration(now, expires_seconds);
        }
    }

    fn take_register_answer(&mut self, now: Instant, sent_at: Instant, response: Option<&Message>) {
        let Some(response) = response else {
            return self.report(Report::RegistrationFailed(Failure::TimedOut));
        };
        match response.status() {
            401 => self.on_challenge(now, sent_at, response),
            200..=299 => self.on_registered(now, sent_at, response),
            423 if self.registration.challenges < CHALLENGES_MAX => {
                // RFC 3261 §10.2.8: ask again with what the registrar grants at least.
                let Some(least) = response.number(Name::MinExpires) else {
                    return self.report(Report::RegistrationFailed(Failure::Refused(423)));
                };
                self.start_registration(now, least);
            }
            status => self.report(Report::RegistrationFailed(Failure::Refused(status))),
        }
    }

    fn on_challenge(&mut self, now: Instant, sent_at: Instant, response: &Message) {
        let is_second = self.registration.challenges > 0;
        self.report(Report::Challenged { after: now - sent_at, is_second });
        self.registration.challenges += 1;
        if self.registration.challenges > CHALLENGES_MAX {
            return self.report(Report::RegistrationFailed(Failure::Refused(401)));
        }
        let challenge = response.header(Name::WwwAuthenticate).unwrap_or("");
        let uri = format!("sip:{}", self.profile.home_domain);
        let cnonce = self.unique("c");
        let private_identity = self.profile.private_identity.clone();
        let answered =
            self.profile.credentials.answer(challenge, &private_identity, "REGISTER", &uri, &cnonce);
        match answered {
            Ok(Answered { authorization }) => self.send_register(now, &authorization),
            Err(reason) => self.report(Report::RegistrationFailed(Failure::Challenge(reason))),
        }
    }

    fn on_registered(&mut self, now: Instant, sent_at: Instant, response: &Message) {
        if self.registration.expires_seconds == 0 {
            self.registration.expires_at = None;
            self.registration.service_route.clear();
            self.timers.set(TimerKey::Refresh, None);
            return self.report(Report::Deregistered);
        }
        let own = contact_uri(&self.profile);
        let granted = response
            .values(Name::Contact)
            .filter_map(NameAddress::parse)
            .find(|contact| contact.uri_text == own)
            .and_then(|contact| contact.parameters.value("expires")?.parse().ok())
            .or_else(|| response.number(Name::Expires))
            .unwrap_or(self.registration.expires_seconds);
        self.registration.service_route = response.values(Name::ServiceRoute).map(str::to_owned).collect();
        self.registration.expires_at = Some(now + Duration::from_secs(granted.into()));
        let refresh_at = now + refresh_after(granted);
        self.timers.set(TimerKey::Refresh, self.is_refreshing.then_some(refresh_at));
        self.report(Report::Registered { after: now - sent_at, expires_seconds: granted });
    }
}

/// TS 24.229 5.1.1.4: 600 s before the end if more than 1200 s were granted, else at half time.
fn refresh_after(granted_seconds: u32) -> Duration {
    let seconds = if granted_seconds > 1200 { granted_seconds - 600 } else { granted_seconds / 2 };
    Duration::from_secs(seconds.max(1).into())
}
