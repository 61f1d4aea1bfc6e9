//! SIGHUP: takes over of a new configuration what can change while calls go on, and says what cannot.

use super::{Service, senders};
use crate::call::Input;
use crate::config::Config;
use crate::store;

/// Takes over `new`. Open calls keep the rules they began with; that is the core's doing.
pub fn reload(service: &mut Service, mut new: Config) {
    for warning in &new.warnings {
        log::warn!("{}: {warning}", new.file.display());
    }
    let old = &service.config;
    let mut restart = Vec::new();
    if old.asterisk != new.asterisk || old.cdr != new.cdr {
        restart.push("[[asterisk]]");
        new.cdr.clone_from(&old.cdr);
        new.asterisk.clone_from(&old.asterisk);
    }
    if (&old.store.path, old.store.power_loss) != (&new.store.path, new.store.power_loss) {
        restart.push("[store] path and power_loss");
        new.store.path.clone_from(&old.store.path);
        new.store.power_loss = old.store.power_loss;
    }
    if format!("{:?}", old.http.listen) != format!("{:?}", new.http.listen)
        || (&old.http.tls_certificate, &old.http.tls_key) != (&new.http.tls_certificate, &new.http.tls_key)
        || old.http.connections != new.http.connections
    {
        restart.push("[http] listen, TLS and connections");
        new.http.listen = old.http.listen.clone();
        new.http.tls_certificate.clone_from(&old.http.tls_certificate);
        new.http.tls_key.clone_from(&old.http.tls_key);
        new.http.connections = old.http.connections;
    }
    if old.agi.listen != new.agi.listen || old.agi.lookups != new.agi.lookups {
        restart.push("[agi] listen and lookups");
    }
    let links = super::recording_link(&new, &service.link_key);
    // New senders for every CRM: the old ones finish what they carry and end with their queue.
    match senders::start(&new.crm, &service.outcomes, &service.request_log, &links) {
        Ok((destinations, threads)) => {
            service.keeper_inputs.send(store::Input::Destinations(destinations)).expect("the keeper runs");
            service.senders.retain(|thread| !thread.is_finished());
            service.senders.extend(threads);
        }
        Err(error) => {
            log::error!("reload: the CRMs stay as they were: {error}");
            new.crm.clone_from(&old.crm);
        }
    }
    let settings = store::Input::Reloaded { settings: new.store.clone(), follow_up_days: new.calls.follow_up_days };
    service.keeper_inputs.send(settings).expect("the keeper runs");
    service.tell(Input::Reloaded(Box::new(new.rules())));
    if let Some(wishes) = &service.reconcile {
        let at = new.reconcile.time().ok().flatten();
        let wish =
            super::reconcile::Wish::Reloaded { rules: Box::new(new.rules()), at, keep_days: new.store.keep_days };
        // Full: it is at work; the rules it began with are good until the next reload.
        if wishes.try_send(wish).is_err() {
            log::warn!("reload: call detail records are still being compared by the old rules");
        }
    }
    if let Some(dialplan) = &service.dialplan {
        dialplan.reload(&new);
    }
    if let Some(http) = &service.http {
        http.reload(super::window::setup(&new, service.link_key.clone()));
    }
    service.config = new;
    if restart.is_empty() {
        log::info!("reload: the new configuration is in force");
    } else {
        log::warn!(
            "reload: the new configuration is in force, but for {}, which needs a restart",
            restart.join(" and ")
        );
    }
}
