//! What `setup` tells the person at the keyboard at its beginning and at its end. Pure.

use std::path::Path;

use super::plan::{carried, dialplan_file};
use super::wishes::Wishes;
use crate::cli::host::Host;

/// What was found.
pub fn found(host: Option<&Host>) -> String {
    match host {
        None => "No Asterisk on this machine: what it needs is put aside, to be carried there.".to_owned(),
        Some(host) => {
            let make =
                if host.is_freepbx { "FreePBX: only files that end in _custom.conf are touched" } else { "Asterisk" };
            let mut text = format!("{make}, configuration in {}.", host.etc.outside(&host.etc.folder).display());
            if let Some(why) = &host.unreadable {
                text.push_str(&format!(" It cannot be read whole ({why}); run this as root."));
            }
            text
        }
    }
}

/// What to do where Asterisk was not told to read its files.
pub fn reload_by_hand(commands: &[&str]) -> String {
    let commands: Vec<String> = commands.iter().map(|command| format!("  asterisk -rx '{command}'")).collect();
    format!("Asterisk reads its changed files after\n{}", commands.join("\n"))
}

/// What is left to do.
pub fn afterwards(wishes: &Wishes, file: &Path, host: Option<&Host>) -> String {
    let mut text = format!("\nDone. The configuration is {}.\n", file.display());
    let folder = file.parent().unwrap_or(Path::new("/"));
    match &wishes.crm {
        None => text.push_str("No CRM yet: calls are kept here only. Run `pinconnector setup` again to add one.\n"),
        Some(crm) if crm.is_new => {
            let place = match crm.kind.as_str() {
                "calls" => "vTiger's Settings, Integration, Calls",
                "pbxmanager" => "vTiger's Settings, Integration, PBXManager (field vTiger secret key)",
                _ => "the program that takes the calls",
            };
            let secret = folder.join(format!("{}.secret", crm.name));
            text.push_str(&format!("The CRM must know the secret in {}: enter it in {place}.\n", secret.display()));
        }
        Some(_) => {}
    }
    match host {
        None => text.push_str(&format!(
            "Asterisk's part lies in {}: each file says at its beginning where it goes.\n",
            carried(folder).display()
        )),
        Some(host) if host.is_freepbx => text.push_str(
            "In FreePBX press Apply Config once (Admin, Config Edit shows the files). If `doctor` misses call records, set \
             enabled = yes in cdr_manager.conf under Admin, Config Edit.\n",
        ),
        Some(_) => {}
    }
    text.push_str(&dialplan_lines(host));
    text.push_str("Then start the service: systemctl enable --now pinconnector");
    text
}

/// The two lines to paste; under FreePBX one.
fn dialplan_lines(host: Option<&Host>) -> String {
    let file = dialplan_file(host);
    if host.is_some_and(|host| host.is_freepbx) {
        // Its own catch-all (ext-did-catchall) stands behind everything else, where ours must not come before.
        return format!(
            "A line for the dialplan, to use its pieces (Admin, Config Edit, extensions_custom.conf, at the end):\n  #include \
             \"{file}\"\nNumbers without an inbound route FreePBX takes itself, so these calls are seen; a route with Any DID / \
             Any CID says what such a caller hears.\n"
        );
    }
    format!(
        "Two lines for the dialplan:\n  at the end of extensions.conf:                        #include \"{file}\"\n  \
         last in the context your provider's calls come into:  include => pinconnector-catch-all\n\
         The second makes calls to numbers the dialplan does not know missed calls instead of nothing.\n"
    )
}
