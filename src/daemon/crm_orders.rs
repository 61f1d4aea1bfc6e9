//! The `crm-orders` thread: carries out what CRMs want done (`commands`), one after another, and reports what came of each.
//!
//! A click goes the way of a posted one: guard, book, audit log. What is lost with a restart is given again by the CRM until it is
//! reported, and does no harm twice.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::window::Window;
use crate::call::record::FollowUp;
use crate::crm::calls_module::{CommandDone, Order, Refresh};
use crate::crm::courier::{Fetched, Report};
use crate::http::office::{self, Office};
use crate::http::{Clicks, Reply};
use crate::store::Reader;

/// Everything the thread needs.
pub struct CrmOrders {
    pub window: Arc<Window>,
    pub clicks: Clicks,
    /// The main thread passes them on to the CRM's teller.
    pub reports: Sender<(String, Report)>,
}

/// Why an order was not carried out: a code, and a sentence.
type Refused = (&'static str, String);

impl CrmOrders {
    /// Until nobody fetches any more.
    pub fn run(self, fetched: Receiver<Fetched>) {
        for order in fetched {
            self.carry_out(order);
        }
    }

    fn carry_out(&self, fetched: Fetched) {
        let (crm, id) = (fetched.crm.clone(), fetched.command.id.clone());
        log::debug!("{crm}: command {id}: {:?}", fetched.command.order);
        let done = match &fetched.command.order {
            Err(why) => Err(("unknown_command", format!("this connector does not understand it: {why}"))),
            Ok(Order::Call { call, expires_at }) => {
                if expires_at.is_some_and(|moment| fetched.is_past(moment)) {
                    Err(("expired", "it was fetched too late to be dialled".to_owned()))
                } else {
                    // Answered once the call is stored and on its way, or refused.
                    let body = serde_json::to_vec(call).expect("strings have an image in JSON");
                    let reports = self.reports.clone();
                    let of = crm.clone();
                    let reply = move |answer: Result<(), crate::http::guard::Refusal>| {
                        report(&reports, of, id, answer.map_err(|refusal| (refusal.code, refusal.message)));
                    };
                    return self.clicks.ask(&crm, body, Reply::new(reply));
                }
            }
            Ok(Order::Cancel { request }) => {
                if self.window.cancel_call(&crm, request) {
                    Ok(())
                } else {
                    Err(("busy", "this cannot be passed on now".to_owned()))
                }
            }
            Ok(Order::Refresh { what }) => {
                let what = match what {
                    Refresh::Users => office::Refresh::Users,
                    Refresh::Directory => office::Refresh::Directory,
                };
                self.window.refresh(&crm, what);
                Ok(())
            }
            Ok(Order::CloseFollowUp { call, follow_up, user, .. }) => {
                self.close(&crm, call, *follow_up, user.as_deref())
            }
        };
        report(&self.reports, crm, id, done);
    }

    fn close(&self, crm: &str, call: &str, follow_up: FollowUp, user: Option<&str>) -> Result<(), Refused> {
        if follow_up != FollowUp::Closed {
            return Err(("bad_request", "by hand a follow-up can only be closed".to_owned()));
        }
        let record = Reader::open(&self.window.database).and_then(|reader| reader.record(call));
        let record = record.map_err(|error| ("store", error.to_string()))?;
        if record.is_none_or(|record| record.crm.as_deref() != Some(crm)) {
            return Err(("not_found", format!("there is no call {call} of this CRM")));
        }
        let by = user.map_or_else(|| crm.to_owned(), |user| format!("user {user} of {crm}"));
        self.window.close_follow_up(call, &by).map(|_| ()).map_err(|why| ("store", why))
    }
}

fn report(reports: &Sender<(String, Report)>, crm: String, id: String, done: Result<(), Refused>) {
    let done = match done {
        Ok(()) => CommandDone { id, ok: true, error: None, message: None },
        Err((error, message)) => {
            log::info!("{crm}: command {id} is refused: {error}: {message}");
            CommandDone { id, ok: false, error: Some(error.to_owned()), message: Some(message) }
        }
    };
    if reports.try_send((crm, Report::Done(done))).is_err() {
        log::warn!("a CRM is not told what became of its command: the main thread is behind");
    }
}
