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
    let old_push = old.recordings.push;
    let mut restart = Vec::new();
    if old.asterisk != new.asterisk || old.cdr != new.cdr {
        restart.push("[[asterisk]]");
        new.cdr.clone_from(&old.cdr);
        new.asterisk.clone_from(&old.asterisk);
    }
    let of_start = |store: &store::Settings| (store.path.clone(), store.power_loss, store.kind, store.mongodb.clone());
    if of_start(&old.store) != of_start(&new.store) {
        restart.push("[store] path, power_loss, kind and mongodb");
        (new.store.path, new.store.power_loss, new.store.kind, new.store.mongodb) = of_start(&old.store);
    }
    if old.store.keep_days != new.store.keep_days && old.store.kind == store::StoreKind::Mongodb {
        restart.push("[store] keep_days in MongoDB");
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
    match senders::start(&new.crm, &service.outcomes, &service.request_log, &links, &service.pass, &mut service.saved) {
        Ok((mut destinations, threads)) => {
            destinations.extend(service.history.as_ref().map(|history| history.destination.clone()));
            service.keeper_inputs.send(store::Input::Destinations(destinations)).expect("the keeper runs");
            service.senders.retain(|thread| !thread.is_finished());
            service.senders.extend(threads);
        }
        Err(error) => {
            log::error!("reload: the CRMs stay as they were: {error}");
            new.crm.clone_from(&old.crm);
        }
    }
    if let Err(error) = service.couriers.reload(&new.crm) {
        log::error!("reload: commands of the CRMs are fetched as before: {error}");
    }
    if service.http.is_none() && super::needs_window(&new) {
        restart.push("the first [[crm]] of kind \"calls\" without [http] listen");
    }
    let settings = store::Input::Reloaded { settings: new.store.clone(), follow_up_days: new.calls.follow_up_days };
    service.keeper_inputs.send(settings).expect("the keeper runs");
    service.tell(Input::Reloaded(Box::new(new.rules())));
    if old_push != new.recordings.push {
        restart.push("[recordings] push");
    }
    if let Some(recordings) = &service.recordings {
        recordings.reload(&new);
    }
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
