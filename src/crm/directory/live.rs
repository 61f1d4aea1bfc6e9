//! One question to the CRM about one number, within a share of the dialplan's budget.

use std::time::Duration;

use super::Directory;
use crate::client::{Client, Found, Inquiry};
use crate::clock::Now;
use crate::crm::calls_module::{self, CrmClient, Lookup, LookupAnswer, Responsible};
use crate::crm::settings::Kind;
use crate::crm::{Client as Line, answer::Fault};

/// What of a card the dialplan needs.
pub fn card(client: CrmClient) -> Client {
    let CrmClient { module, id, name, user, caller_id, .. } = client;
    Client { module, id, name, user, caller_id, contacted_at_s: 0 }
}

impl Directory {
    /// Asks the CRM on `line` whose number it is, and remembers the answer.
    ///
    /// # Errors
    /// If nothing came in time that is an answer, in the operator's words.
    pub fn ask(&self, line: &mut Line, inquiry: &Inquiry, within: Duration) -> Result<Option<Found>, String> {
        if line.crm().kind != Kind::Calls {
            return Ok(None);
        }
        let question = Lookup {
            number: inquiry.number.clone(),
            did: inquiry.did.clone(),
            pbx: Some(inquiry.pbx.clone()).filter(|pbx| !pbx.is_empty()),
        };
        let answer = match calls_module::ask_within(line, &question, Some(within)) {
            Ok(answer) => answer,
            Err(Fault::Crm { why, .. } | Fault::Request { why }) => return Err(why),
        };
        Ok(self.answered(answer, inquiry, Now::read()))
    }

    /// What the answer means, with what is known of the users here.
    pub fn answered(&self, answer: LookupAnswer, inquiry: &Inquiry, now: Now) -> Option<Found> {
        let LookupAnswer { found, client, others, responsible, .. } = answer;
        let client = client.filter(|_| found).map(card);
        self.learn(inquiry, client.as_ref(), now);
        let mut found = self.complete(client?, inquiry, now);
        found.others = found.others.max(others);
        if found.responsible.is_none() {
            found.responsible = responsible.and_then(|manager| self.there(manager, &inquiry.pbx));
        }
        Some(found)
    }

    /// The manager's extension, by the CRM's word, if he may log in and it rings here.
    fn there(&self, manager: Responsible, pbx: &str) -> Option<String> {
        let is_here = manager.active && manager.pbx.as_deref().is_none_or(|of| of == pbx);
        manager.extension.filter(|extension| is_here && self.rings(pbx, extension))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::LookUp;
    use crate::crm::directory::Part;
    use crate::phone::{Numbers, NumbersSettings};
    use std::sync::Arc;

    #[test]
    fn an_answer_is_understood_without_knowing_the_users_and_remembered() {
        let settings = NumbersSettings { region: Some("RU".to_owned()), ..NumbersSettings::default() };
        let part = Part { crm: "vtiger".to_owned(), several: Vec::new(), answers_live: true };
        let now = Now::read();
        let directory = Directory::new(Arc::new(Numbers::new(&settings).expect("good")), vec![part], now);
        let asked = |number: &str, pbx: &str| Inquiry {
            crm: "vtiger".to_owned(),
            pbx: pbx.to_owned(),
            number: number.to_owned(),
            ..Inquiry::default()
        };
        let answer = || {
            serde_json::from_str(include_str!("../../../tests/wire/calls/lookup.answer.json"))
                .expect("the wire's example")
        };
        let found = directory.answered(answer(), &asked("89161234567", "msk"), now).expect("found");
        assert_eq!((found.client.id.as_str(), found.others), ("4012", 2));
        assert_eq!(found.responsible.as_deref(), Some("101"));
        assert_eq!(found.client.caller_id.as_deref(), Some("+74951234500"));
        assert!(matches!(directory.look_up(&asked("+79161234567", "msk"), now), LookUp::Found(_)));
        // 101 of another exchange is another man.
        let found = directory.answered(answer(), &asked("89161234567", "spb"), now).expect("found");
        assert_eq!(found.responsible, None);
        directory.device("msk", "PJSIP/101", "UNAVAILABLE");
        let found = directory.answered(answer(), &asked("89161234567", "msk"), now).expect("found");
        assert_eq!(found.responsible, None);

        let nobody = include_str!("../../../tests/wire/calls/lookup-notfound.answer.json");
        let nobody = serde_json::from_str(nobody).expect("the wire's example");
        assert_eq!(directory.answered(nobody, &asked("89160000000", "msk"), now), None);
        assert_eq!(directory.look_up(&asked("+79160000000", "msk"), now), LookUp::Nobody);
    }
}
