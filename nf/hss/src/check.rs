//! `subscriber.check`: which value is wrong? Finds the subscriber that a captured REGISTER is from, opens the credential
//! and has [`sip::diagnosis`] compare the two. It changes nothing, and no secret is in what it says.

use bytes::Bytes;
use node::Store;
use sip::aka::{Op, Opc, Sqn};
use sip::diagnosis::{self, Finding, Known, Record, RecordSecret, Variant};
use sip::digest::{Algorithm, Credentials, Ha1};
use sip::message::{Message, Method, Name};
use sip::secret::Secret;
use sip::uri::{Host, Uri};

use crate::command::read;
use crate::provisioning::{CheckFinding, CheckRequest, CheckResult, SimValues, hex};
use crate::record::{Aka, Digest, Subscriber};
use crate::{Hss, identity};

const UNKNOWN_PUBLIC_IDENTITY: &str =
    "the public identity in To is not provisioned; add it to the subscriber or correct the device";
const IDENTITIES_DONT_MATCH: &str =
    "the public identity in To belongs to another subscriber; correct one of the two identities";

/// What was captured, in parts.
struct Capture {
    /// The value of the Authorization field that says most; a softphone's first REGISTER has none.
    authorization: Option<String>,
    method: String,
    body: Bytes,
    /// The public identity, when the whole REGISTER was given.
    to: Option<String>,
    /// Where the REGISTER is for, likewise.
    request_uri: Option<String>,
}

impl<S: Store> Hss<S> {
    pub(crate) fn check(&self, body: &[u8]) -> Result<CheckResult, String> {
        let request: CheckRequest = read("subscriber.check", body)?;
        let capture = Capture::of(&request)?;
        let Some(authorization) = &capture.authorization else {
            return Ok(self.check_identities(request.private_identity.as_deref(), &capture));
        };
        let credentials = match Credentials::parse(authorization) {
            Ok(credentials) => credentials,
            Err(error) => return Ok(result(None, vec![finding(&Finding::Unreadable(error))])),
        };
        let mut findings = Vec::new();
        let asked = request.private_identity.as_deref();
        let Some(private_identity) = self.subscriber_meant(asked, &credentials, &capture, &mut findings)
        else {
            return Ok(result(None, findings));
        };
        let subscriber = match self.database.subscriber(&private_identity) {
            Ok(Some(subscriber)) => subscriber,
            Ok(None) => return Err(format!("there is no subscriber {private_identity}")),
            Err(error) => return Err(format!("{private_identity}: {error}; provision it again")),
        };
        let known = known(
            request.sim.as_ref(),
            request.password.as_ref().map(|password| password.reveal().as_bytes()),
        )?;
        let found = self.diagnose(&private_identity, &subscriber, &credentials, &capture, &known)?;
        findings.extend(found.iter().map(finding));
        Ok(result(Some(private_identity), findings))
    }

    /// What To and the Request-URI tell of a REGISTER without Authorization: when they are wrong, it was refused at once,
    /// and there is no second one to capture.
    fn check_identities(&self, asked: Option<&str>, capture: &Capture) -> CheckResult {
        let mut findings = Vec::new();
        if capture.request_uri.as_deref().is_some_and(|uri| self.is_of_another_domain(uri)) {
            let text = format!(
                "the REGISTER is for another domain than the home domain {}; correct the domain in the device",
                self.policy.home_domain
            );
            findings.push(own_finding("wrong-realm", &text));
        }
        let uri = capture.to.as_deref().and_then(|to| identity::canonical(to).ok());
        let owner = uri.as_deref().and_then(|uri| self.database.owner(uri));
        match &owner {
            None => findings.push(own_finding("unknown-public-identity", UNKNOWN_PUBLIC_IDENTITY)),
            Some(owner) if asked.is_some_and(|asked| asked != owner) => {
                findings.push(own_finding("identities-dont-match", IDENTITIES_DONT_MATCH));
            }
            Some(owner) => {
                let has_aka =
                    matches!(self.database.subscriber(owner), Ok(Some(found)) if found.aka.is_some());
                if has_aka && self.sequence.is_exhausted(&self.database, owner) {
                    findings.push(finding(&Finding::SqnExhausted { device: None }));
                }
            }
        }
        if findings.is_empty() {
            let text = "identity and domain are right, but this REGISTER has no Authorization; \
                        capture the second REGISTER, the one after the 401";
            findings.push(CheckFinding { is_fault: false, ..own_finding("nothing-to-check", text) });
        }
        result(owner, findings)
    }

    /// An address may be one of the core's own: only a name tells.
    fn is_of_another_domain(&self, request_uri: &str) -> bool {
        let Ok(Uri { host: Host::Name(name), .. }) = Uri::parse(request_uri) else { return false };
        let (name, home) = (name.to_ascii_lowercase(), self.policy.home_domain.to_ascii_lowercase());
        name != home && !name.ends_with(&format!(".{home}"))
    }

    /// The subscriber to compare with. Notes what is wrong with the identities, which no digest shows.
    fn subscriber_meant(
        &self,
        asked: Option<&str>,
        credentials: &Credentials<'_>,
        capture: &Capture,
        findings: &mut Vec<CheckFinding>,
    ) -> Option<String> {
        let exists = |name: &str| matches!(self.database.subscriber(name), Ok(Some(_)) | Err(_));
        let owner = capture
            .to
            .as_deref()
            .map(|to| identity::canonical(to).ok().and_then(|uri| self.database.owner(&uri)));
        let named = asked.unwrap_or(credentials.username);
        if let Some(None) = owner {
            findings.push(own_finding("unknown-public-identity", UNKNOWN_PUBLIC_IDENTITY));
        }
        if exists(named) {
            if owner.flatten().is_some_and(|owner| owner != named) {
                findings.push(own_finding("identities-dont-match", IDENTITIES_DONT_MATCH));
            }
            return Some(named.to_owned());
        }
        // The user name is unknown: whom the public identity belongs to is the next best guess.
        let guess = owner.flatten().filter(|owner| exists(owner));
        if guess.is_none() {
            let text = "no subscriber has the device's user name as private identity; \
                        provision it, correct the device, or name the subscriber to compare with";
            findings.push(own_finding("unknown-subscriber", text));
        }
        guess
    }

    fn diagnose(
        &self,
        private_identity: &str,
        subscriber: &Subscriber,
        credentials: &Credentials<'_>,
        capture: &Capture,
        known: &Known<'_>,
    ) -> Result<Vec<Finding>, String> {
        let damaged = |refusal: crate::Refusal| format!("{private_identity}: {}", refusal.detail);
        let run = |realm: &str, secret| {
            let record = Record { private_identity, realm, secret };
            diagnosis::diagnose(
                credentials,
                Method::from_token(&capture.method),
                &capture.body,
                &record,
                known,
            )
        };
        let algorithm = credentials.algorithm.and_then(Algorithm::from_token);
        let is_digest = matches!(algorithm, Some(Algorithm::Md5 | Algorithm::Sha256));
        match (&subscriber.aka, &subscriber.digest) {
            (Some(sealed), digest) if digest.is_none() || !is_digest => {
                let aka = self.open_aka(private_identity, sealed).map_err(damaged)?;
                let newest = self.sequence.newest(&self.database, private_identity).and_then(Sqn::new);
                let mut found = run(&self.policy.home_domain, aka.as_recorded(newest));
                if self.sequence.is_exhausted(&self.database, private_identity) {
                    // No attempt will succeed, whatever this one shows of the SQN.
                    found.retain(|finding| {
                        !matches!(finding, Finding::SqnBehind { .. } | Finding::SqnExhausted { .. })
                    });
                    found.insert(0, Finding::SqnExhausted { device: None });
                }
                Ok(found)
            }
            (_, Some(sealed)) => {
                let digest = self.open_digest(private_identity, sealed).map_err(damaged)?;
                let Some((algorithm, ha1)) = digest.as_recorded(algorithm) else {
                    return Err(format!(
                        "{private_identity} has a digest credential without a hash; provision it again"
                    ));
                };
                Ok(run(&digest.realm, RecordSecret::Digest { algorithm, ha1: &ha1 }))
            }
            (_, None) => Err(format!("{private_identity} has no credential; provision it again")),
        }
    }
}

impl Capture {
    fn of(request: &CheckRequest) -> Result<Capture, String> {
        match (&request.register, &request.authorization) {
            (Some(text), _) => Capture::of_register(text),
            (None, Some(value)) => Ok(Capture {
                authorization: Some(value.clone()),
                method: request.method.clone().unwrap_or_else(|| "REGISTER".into()),
                body: Bytes::new(),
                to: None,
                request_uri: None,
            }),
            (None, None) => {
                Err("subscriber.check: give register (the captured text) or authorization".into())
            }
        }
    }

    fn of_register(text: &str) -> Result<Capture, String> {
        let register = Message::parse(as_on_the_wire(text).into()).map_err(|error| {
            format!("subscriber.check, register: it cannot be read as a SIP message: {error}")
        })?;
        if !register.is_request() {
            return Err(
                "subscriber.check, register: it is a response; the device's REGISTER is needed".into()
            );
        }
        // Of several fields the one that answers a challenge is the evidence.
        let answers =
            |value: &&str| Credentials::parse(value).is_ok_and(|credentials| !credentials.is_initial());
        let authorization = register
            .headers(Name::Authorization)
            .find(answers)
            .or_else(|| register.header(Name::Authorization));
        Ok(Capture {
            authorization: authorization.map(str::to_owned),
            method: register.method().as_str().to_owned(),
            to: register.to().map(|to| to.uri_text.to_owned()),
            request_uri: Some(register.request_uri().to_owned()),
            body: Bytes::copy_from_slice(register.body()),
        })
    }
}

/// Text that was pasted has lost its carriage returns, the blank line at its end, or has blank lines before it.
fn as_on_the_wire(text: &str) -> String {
    let text = text.trim_start();
    let mut wire = if text.contains("\r\n") { text.to_owned() } else { text.replace('\n', "\r\n") };
    if !wire.contains("\r\n\r\n") {
        wire.truncate(wire.trim_end().len());
        wire.push_str("\r\n\r\n");
    }
    wire
}

impl Aka {
    fn as_recorded(&self, network_sqn: Option<Sqn>) -> RecordSecret<'static> {
        let variant = match self.op {
            Some(op) => Variant::Op(Op(Secret::new(op))),
            None => Variant::Opc(Opc(Secret::new(self.opc))),
        };
        RecordSecret::Aka { key: Secret::new(self.k), variant, network_sqn }
    }
}

impl Digest {
    /// The hash of the algorithm that the device used, or else the one that we challenge with.
    fn as_recorded(&self, used: Option<Algorithm>) -> Option<(Algorithm, Ha1)> {
        let md5 = self.ha1_md5.map(|hash| (Algorithm::Md5, sip::hex::encode(&hash)));
        let sha256 = self.ha1_sha256.map(|hash| (Algorithm::Sha256, sip::hex::encode(&hash)));
        let is_sha256_first = used == Some(Algorithm::Sha256) || (used.is_none() && self.prefers_sha256);
        let chosen = if is_sha256_first { sha256.or(md5) } else { md5.or(sha256) };
        let (algorithm, text) = chosen?;
        Some((algorithm, Ha1::from_hex(algorithm, &text)?))
    }
}

fn known<'a>(sim: Option<&SimValues>, password: Option<&'a [u8]>) -> Result<Known<'a>, String> {
    let none = SimValues::default();
    let sim = sim.unwrap_or(&none);
    let read = |field: &str, value: &Option<crate::provisioning::SecretText>| {
        let value = value.as_ref().map(|value| hex::<16>(field, value.reveal()).map(Secret::new)).transpose();
        value.map_err(|error| format!("subscriber.check, {error}"))
    };
    let (op, opc) = (read("sim.op", &sim.op)?, read("sim.opc", &sim.opc)?);
    Ok(Known {
        key: read("sim.k", &sim.k)?,
        variant: opc.map(|opc| Variant::Opc(Opc(opc))).or(op.map(|op| Variant::Op(Op(op)))),
        password,
    })
}

fn finding(found: &Finding) -> CheckFinding {
    CheckFinding { code: found.code().to_owned(), text: found.to_string(), is_fault: found.is_fault() }
}

fn own_finding(code: &str, text: &str) -> CheckFinding {
    CheckFinding { code: code.to_owned(), text: text.to_owned(), is_fault: true }
}

fn result(private_identity: Option<String>, findings: Vec<CheckFinding>) -> CheckResult {
    CheckResult { private_identity, findings }
}
