//! What the HSS tells S-CSCFs of its own accord: RTR to end a registration (TS 29.228 §6.1.3), PPR with a changed
//! profile (§6.2.2).
//!
//! A command that ends a registration has its result when the S-CSCF has answered, or has not. The HSS forgets the
//! registration either way; a device that registers again in between keeps its new registration.

use std::collections::VecDeque;

use diameter::cx;
use node::mirror::{Composite, Mirror, Numbers, Table, TableId};
use node::{CommandKey, Decision, QueryKey, Store, Unanswered};
use serde::{Deserialize, Serialize};
use sip::uri::{Host, Uri};

use crate::provisioning::TerminationResult;
use crate::record::State;
use crate::{Hss, profile};

/// How many RTRs may wait for an answer. The next command is refused with a sentence.
const TERMINATIONS_MAX: usize = 1000;
/// How many PPRs may wait for an answer; more wait in a queue.
const PUSHES_MAX: usize = 32;
/// How many subscribers may wait for their PPR: ten full `subscriber.put`. Beyond it the S-CSCF keeps the old profile
/// until the next registration.
const PUSHES_QUEUED_MAX: usize = 100_000;

/// What happens to a subscriber once its registration has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Deregister,
    Remove,
}

#[derive(Serialize, Deserialize)]
struct Termination {
    command: CommandKey,
    private_identity: String,
    purpose: Purpose,
    /// A device has registered since: there is nothing to forget any more.
    is_superseded: bool,
}

pub(crate) struct Terminations {
    queries: Numbers,
    terminations: Table<QueryKey, Termination>,
    /// The private identity of each PPR that waits for its answer.
    pushes: Table<QueryKey, String>,
    /// Not told to a copy: an S-CSCF that misses a change of profile hears of it at the next registration.
    pushes_queued: VecDeque<String>,
}

impl Default for Terminations {
    fn default() -> Self {
        Terminations {
            queries: Numbers::new(TableId(65)),
            terminations: Table::new(TableId(66)),
            pushes: Table::new(TableId(67)),
            pushes_queued: VecDeque::new(),
        }
    }
}

impl Composite for Terminations {
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror)) {
        show(&mut self.queries);
        show(&mut self.terminations);
        show(&mut self.pushes);
    }
}

impl Terminations {
    fn next_query(&mut self) -> QueryKey {
        QueryKey(self.queries.draw())
    }

    /// A SAR has registered this subscriber.
    pub(crate) fn on_registered(&mut self, private_identity: &str) {
        let is_of = |termination: &Termination| termination.private_identity == private_identity;
        let of_it: Vec<QueryKey> =
            self.terminations.iter().filter(|(_, it)| is_of(it)).map(|(query, _)| *query).collect();
        for query in of_it {
            if let Some(termination) = self.terminations.get_mut(&query) {
                termination.is_superseded = true;
            }
        }
    }
}

impl<S: Store> Hss<S> {
    /// Ends all registrations of a subscriber; the command's result follows at once or after RTA.
    pub(crate) fn terminate(
        &mut self,
        command: CommandKey,
        private_identity: String,
        purpose: Purpose,
        reason: Option<String>,
    ) -> Result<(), String> {
        if self.terminations.terminations.len() >= TERMINATIONS_MAX {
            return Err(format!(
                "{TERMINATIONS_MAX} registrations are being ended already; try again in a few seconds"
            ));
        }
        let registration = self.database.registration(&private_identity).unwrap_or_default();
        let Some(server_name) = registration.server_name.clone() else {
            self.finish_termination(command, &private_identity, purpose, false, None);
            return Ok(());
        };
        let Some(destination_host) = host_of(&server_name) else {
            let warning = format!("the Server-Name `{server_name}` has no host to send the RTR to");
            self.finish_termination(command, &private_identity, purpose, true, Some(warning));
            return Ok(());
        };
        let subscriber = self.database.subscriber(&private_identity).ok().flatten().unwrap_or_default();
        let public_identities = subscriber
            .public_identities
            .iter()
            .filter(|identity| registration.states.contains_key(&identity.implicit_set))
            .map(|identity| identity.uri.clone())
            .collect();
        let query = self.terminations.next_query();
        let termination = Termination {
            command,
            private_identity: private_identity.clone(),
            purpose,
            is_superseded: false,
        };
        self.terminations.terminations.insert(query, termination);
        self.outgoing.push_back(Decision::Ask {
            query,
            request: cx::Request::RegistrationTermination(cx::RegistrationTerminationRequest {
                private_identity,
                public_identities,
                reason: cx::DeregistrationReasonCode::PermanentTermination,
                reason_info: reason,
            }),
            destination_host: Some(destination_host),
        });
        Ok(())
    }

    pub(crate) fn on_answer(&mut self, query: QueryKey, answer: Result<cx::Answer, Unanswered>) {
        let failure = match answer {
            Ok(answer) if answer.result().is_success() => None,
            Ok(answer) => Some(format!("the S-CSCF refused: {:?}", answer.result())),
            Err(unanswered) => Some(unanswered.to_string()),
        };
        if let Some(ended) = self.terminations.terminations.remove(&query) {
            if ended.purpose == Purpose::Deregister && ended.is_superseded {
                self.termination_result(ended.command, true, failure);
            } else {
                self.finish_termination(ended.command, &ended.private_identity, ended.purpose, true, failure);
            }
        } else if let Some(private_identity) = self.terminations.pushes.remove(&query) {
            let outcome = if failure.is_none() { "ok" } else { "not_delivered" };
            self.report_words(
                "push_profile",
                &private_identity,
                outcome,
                failure.as_deref().unwrap_or_default(),
            );
            self.push_next_profiles();
        }
    }

    fn finish_termination(
        &mut self,
        command: CommandKey,
        private_identity: &str,
        purpose: Purpose,
        was_registered: bool,
        warning: Option<String>,
    ) {
        match purpose {
            Purpose::Deregister => self.database.clear_registration(private_identity),
            Purpose::Remove => {
                self.database.remove_subscriber(private_identity);
            }
        }
        self.termination_result(command, was_registered, warning);
    }

    fn termination_result(&mut self, command: CommandKey, was_registered: bool, warning: Option<String>) {
        self.command_result(
            command,
            Ok(crate::command::document(&TerminationResult { was_registered, warning })),
        );
    }

    /// The profile of a registered subscriber has changed.
    pub(crate) fn push_profile(&mut self, private_identity: String) {
        if self.terminations.pushes_queued.len() >= PUSHES_QUEUED_MAX {
            let detail =
                "too many profile changes wait; the S-CSCF learns of this one at the next registration";
            self.report_words("push_profile", &private_identity, "shed", detail);
            return;
        }
        self.terminations.pushes_queued.push_back(private_identity);
        self.push_next_profiles();
    }

    fn push_next_profiles(&mut self) {
        while self.terminations.pushes.len() < PUSHES_MAX {
            let Some(private_identity) = self.terminations.pushes_queued.pop_front() else { return };
            let registration = self.database.registration(&private_identity).unwrap_or_default();
            let Some(destination_host) = registration.server_name.as_deref().and_then(host_of) else {
                continue;
            };
            let Ok(Some(subscriber)) = self.database.subscriber(&private_identity) else { continue };
            // One PPR for each implicit set that the S-CSCF holds a profile of.
            for set in registration.states.keys().copied() {
                let query = self.terminations.next_query();
                self.terminations.pushes.insert(query, private_identity.clone());
                self.outgoing.push_back(Decision::Ask {
                    query,
                    request: cx::Request::PushProfile(cx::PushProfileRequest {
                        private_identity: private_identity.clone(),
                        user_data: Some(profile::user_data(&private_identity, &subscriber, set)),
                        charging: None,
                    }),
                    destination_host: Some(destination_host.clone()),
                });
            }
        }
    }

    /// Sets that are gone cannot stay registered. Says whether an S-CSCF holds a profile of the subscriber.
    pub(crate) fn forget_missing_sets(&mut self, private_identity: &str, sets: &[u8]) -> bool {
        let mut registration = self.database.registration(private_identity).unwrap_or_default();
        let is_served = !registration.states.is_empty();
        let missing: Vec<(u8, State)> =
            registration.states.extract_if(.., |set, _| !sets.contains(set)).collect();
        for (set, _) in &missing {
            self.database.remove_restoration(private_identity, *set);
        }
        if !missing.is_empty() {
            registration.release();
            self.database.put_registration(
                private_identity,
                &registration,
                crate::database::Durability::BeforeAnswer,
            );
        }
        is_served
    }
}

/// The Diameter host of an S-CSCF is the host of its SIP URI: one process, one name.
fn host_of(server_name: &str) -> Option<String> {
    match Uri::parse(server_name).ok()?.host {
        Host::Name("") => None,
        Host::Name(name) => Some(name.to_owned()),
        Host::V4(address) => Some(address.to_string()),
        Host::V6(address) => Some(address.to_string()),
    }
}
