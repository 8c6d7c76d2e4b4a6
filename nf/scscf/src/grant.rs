//! The 200 to REGISTER (TS 24.229 §5.4.1.2.2F, RFC 3261 §10.3 step 8, RFC 3327, RFC 3608, RFC 7315).

use clock::Instant;
use sip::{Draft, Message, Name};

use crate::register::Registrant;
use crate::{Scscf, charging};

impl Scscf {
    /// The 200: Path echoed, Service-Route, identities, charging, and all contacts of the public identity.
    pub(crate) fn granted(
        &mut self,
        now: Instant,
        request: &Message,
        registrant: &Registrant,
        authentication_info: Option<String>,
    ) -> Draft {
        let mut response = self.response(request, 200, "OK");
        for path in request.headers(Name::Path) {
            response.push_back(Name::Path, path);
        }
        response.push_back(Name::ServiceRoute, self.own.service_route());
        let set = self.registrar.find(&registrant.public_identity).and_then(|id| self.registrar.set(id));
        if let Some(set) = set {
            // RFC 7315 §4.1: the first is the default identity; barred ones are not told.
            let identities: Vec<String> = set
                .identities
                .iter()
                .filter(|identity| !identity.is_barred)
                .map(|identity| format!("<{}>", identity.uri))
                .collect();
            if !identities.is_empty() {
                response.push_back(Name::PAssociatedUri, identities.join(", "));
            }
            if let Some(addresses) = &set.charging {
                response.push_back(Name::PChargingFunctionAddresses, &**addresses);
            }
            for contact in &set.contacts {
                response.push_back(Name::Contact, contact.to_header(now));
            }
        }
        if let Some(value) = request.header(Name::PChargingVector) {
            let with_originator = match value.contains("orig-ioi=") {
                true => value.to_string(),
                false => charging::with_operator(value, "orig-ioi", &self.own.home_domain),
            };
            let value = charging::with_operator(&with_originator, "term-ioi", &self.own.home_domain);
            response.push_back(Name::PChargingVector, value);
        }
        if let Some(value) = authentication_info {
            response.push_back(Name::AuthenticationInfo, value);
        }
        response.push_back(Name::Date, date(self.wall.at(now)));
        response
    }
}

/// The SIP date of `wall` (RFC 3261 §20.17: RFC 1123 form, always GMT).
fn date(wall: clock::WallTime) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = wall.0 / 1_000_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date, counted in 400-year eras from 0000-03-01 (Howard Hinnant, "chrono-compatible date
    // algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        WEEKDAYS[(days % 7) as usize],
        MONTHS[month as usize],
        rest / 3600,
        rest % 3600 / 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn a_date_is_printed_as_rfc_1123_does() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_289_692_799, "Sat, 13 Nov 2010 23:59:59 GMT"),
        ] {
            assert_eq!(date(clock::WallTime(seconds * 1_000_000)), text);
        }
    }
}
