//! LIR: which S-CSCF serves this public identity (TS 29.228 §6.1.4)?

use diameter::cx::{self, ResultCode};
use node::Store;

use crate::{Hss, Refusal};

impl<S: Store> Hss<S> {
    pub(crate) fn location_information(&mut self, request: &cx::LocationInformationRequest) -> cx::Answer {
        let ended = self.locate(request);
        self.report("location_information", &request.public_identity, &ended);
        cx::Answer::LocationInformation(ended.unwrap_or_else(|refusal| cx::LocationInformationAnswer {
            result: refusal.result,
            server_name: None,
            capabilities: None,
        }))
    }

    fn locate(
        &mut self,
        request: &cx::LocationInformationRequest,
    ) -> Result<cx::LocationInformationAnswer, Refusal> {
        let (uri, owner) = self.owner_of(&request.public_identity)?;
        let Some(subscriber) = self.database.subscriber(&owner)? else {
            return Err(Refusal::unknown("the public identity belongs to nobody"));
        };
        let Some(set) = subscriber.find(&uri).map(|identity| identity.implicit_set) else {
            return Err(Refusal::unknown("the public identity belongs to nobody"));
        };
        let registration = self.database.registration(&owner)?;
        let server_name = registration.server_name.clone();
        let result = if registration.states.contains_key(&set) {
            ResultCode::SUCCESS
        } else if subscriber.has_unregistered_services {
            ResultCode::UNREGISTERED_SERVICE
        } else {
            let detail = "no device is registered and there are no services for that case";
            return Err(Refusal::new(ResultCode::IDENTITY_NOT_REGISTERED, "not_registered", detail));
        };
        let capabilities =
            (server_name.is_none() || request.with_capabilities).then(|| self.capabilities(&subscriber));
        if request.with_capabilities {
            self.expect_reassignment(&owner, registration);
        }
        Ok(cx::LocationInformationAnswer { result, server_name, capabilities })
    }
}
